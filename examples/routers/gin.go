package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/otelmon/toolkit/middleware"
)

func ginRouter(cfg middleware.Config) http.Handler {
	router := gin.New()
	router.Use(func(c *gin.Context) {
		middleware.SetRoute(c.Request.Context(), c.FullPath()) // "" when nothing matched
		c.Next()
	})
	users := router.Group("/gin/users")
	users.GET("/:id", func(c *gin.Context) { c.String(http.StatusOK, c.Param("id")) })
	users.DELETE("/:id", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	return middleware.Handler(router, cfg)
}
