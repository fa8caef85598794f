package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxInFlight bounds the load when the service does not keep up.
const maxInFlight = 100

// mix is what the load consists of. An {id} becomes that of some product.
var mix = []struct {
	percent            int
	method, path, body string
}{
	{10, http.MethodGet, "/", ""},
	{71, http.MethodGet, "/products/{id}", ""},
	{1, http.MethodGet, "/products/no-such-product", ""},
	{5, http.MethodPost, "/orders", `{"product":"{id}","quantity":2}`},
	{1, http.MethodPost, "/orders", `{"product":"{id}"}`}, // is refused
	{5, http.MethodGet, "/slow", ""},
	{2, http.MethodGet, "/stream", ""},
	{5, http.MethodGet, "/healthz", ""},
}

// sendLoad sends requests until ctx ends, and returns how many were answered.
// Its client is a plain one, so that only the service's side shows.
func sendLoad(ctx context.Context, base string, perSecond int) int64 {
	if perSecond == 0 {
		<-ctx.Done()
		return 0
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: maxInFlight}}
	defer client.CloseIdleConnections()
	due := time.NewTicker(time.Second / time.Duration(perSecond))
	defer due.Stop()
	var answered atomic.Int64
	var senders sync.WaitGroup
	for range maxInFlight {
		senders.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-due.C:
				}
				if sendOne(ctx, client, base) {
					answered.Add(1)
				}
			}
		})
	}
	senders.Wait()
	return answered.Load()
}

// sendOne reports whether there was an answer. The end of ctx does not cut a
// request off: the service answers its last ones before it ends.
func sendOne(ctx context.Context, client *http.Client, base string) bool {
	method, path, body := choose(rand.IntN(100), 1+rand.IntN(products))
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, base+path, strings.NewReader(body))
	if err != nil {
		return false
	}
	response, err := client.Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil
}

// choose returns the request that stands at a percentage of the mix.
func choose(percent, product int) (method, path, body string) {
	one := mix[0]
	for _, one = range mix {
		if percent -= one.percent; percent < 0 {
			break
		}
	}
	id := strings.NewReplacer("{id}", strconv.Itoa(product))
	return one.method, id.Replace(one.path), id.Replace(one.body)
}
