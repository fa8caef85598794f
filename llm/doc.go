// Package llm measures calls of LLM APIs, DeepSeek's and all that are
// compatible with OpenAI's or Anthropic's, by any HTTP client: latency up to
// P99, time to the first token, tokens, cost, waste.
package llm
