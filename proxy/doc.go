// Package proxy is a reverse proxy that measures: it stands beside a program
// that cannot be changed and tells of its HTTP calls, and of its calls of LLM
// APIs, what [github.com/otelmon/toolkit/llm.Transport] tells inside a program.
package proxy
