package fakellm

import (
	"fmt"
	"strings"
)

// Shapes as in https://platform.openai.com/docs/api-reference/responses and
// https://api-docs.deepseek.com/guides/responses_api, with the fields that
// recorded answers have. There is no [DONE].

const responsesID = "resp_00000000000000000000000000000000000000"

// responsesOutcome is how an answer ended: the status, and why in JSON.
func responsesOutcome(of shape) (status, incomplete, failure string) {
	switch of.finishReason() {
	case "length":
		return "incomplete", `{"reason":"max_output_tokens"}`, "null"
	case "content_filter":
		return "incomplete", `{"reason":"content_filter"}`, "null"
	case "insufficient_system_resource":
		return "failed", "null", `{"code":"server_error","message":"The model had not enough resources to finish."}`
	default:
		return "completed", "null", "null"
	}
}

func responsesObject(of shape) []byte {
	status, incomplete, failure := responsesOutcome(of)
	var items []string
	for _, item := range responsesItems(of) {
		items = append(items, item.done)
	}
	return []byte(responsesResponse(of, status, incomplete, failure, items))
}

func responsesResponse(of shape, status, incomplete, failure string, items []string) string {
	usage := "null"
	if of.responsesTellUsage(status) {
		usage = responsesUsage(of)
	}
	return fmt.Sprintf(`{"id":"%s%s","object":"response","created_at":%d,"status":"%s","background":false,`+
		`"error":%s,"incomplete_details":%s,"instructions":null,"max_output_tokens":null,"model":%s,"output":[%s],`+
		`"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":"medium","summary":null},`+
		`"service_tier":"default","store":true,"temperature":1,"text":{"format":{"type":"text"},"verbosity":"medium"},`+
		`"tool_choice":"auto","tools":[],"top_p":1,"truncation":"disabled","usage":%s,"user":null,"metadata":{}}`,
		responsesID, idMark, created, status, failure, incomplete, quote(of.model), strings.Join(items, ","), usage)
}

// responsesTellUsage is whether a response of this status has a usage: one
// that failed has none.
func (of shape) responsesTellUsage(status string) bool {
	return !of.answer.NoUsage && (status == "completed" || status == "incomplete")
}

func responsesUsage(of shape) string {
	u := of.api.told(of.answer)
	writes := ""
	if of.answer.Vendor == OpenAI {
		writes = fmt.Sprintf(`"cache_write_tokens":%d,`, u.CacheWrite)
	}
	return fmt.Sprintf(`{"input_tokens":%d,"input_tokens_details":{%s"cached_tokens":%d},`+
		`"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}`,
		u.input(), writes, u.CachedInput, u.output(), u.ReasoningTokens, u.input()+u.output())
}

// item is one element of the output, as it begins and as it ends, with the
// events between.
type item struct {
	begun, done string
	between     func(s *sequence, index int)
}

func responsesItems(of shape) []item {
	var items []item
	if of.shownReasoning() != "" {
		items = append(items, reasoningItem(of))
	}
	if of.answer.Text != "" || of.answer.ToolCall == "" {
		items = append(items, messageItem(of))
	}
	if of.answer.ToolCall != "" {
		items = append(items, toolItem(of))
	}
	return items
}

func reasoningItem(of shape) item {
	id := fmt.Sprintf(`"id":"rs_%s","type":"reasoning"`, idMark)
	text := quote(of.shownReasoning())
	where := func(index int) string {
		return fmt.Sprintf(`"item_id":"rs_%s","output_index":%d,"summary_index":0`, idMark, index)
	}
	return item{
		begun: `{` + id + `,"summary":[]}`,
		done:  `{` + id + `,"summary":[{"type":"summary_text","text":` + text + `}]}`,
		between: func(s *sequence, index int) {
			at := where(index)
			s.add(other, "response.reasoning_summary_part.added", at+`,"part":{"type":"summary_text","text":""}`)
			for _, piece := range of.reasoningPieces() {
				s.add(reasoning, "response.reasoning_summary_text.delta", at+`,"delta":`+piece)
			}
			s.add(other, "response.reasoning_summary_text.done", at+`,"text":`+text)
			s.add(other, "response.reasoning_summary_part.done", at+`,"part":{"type":"summary_text","text":`+text+`}`)
		},
	}
}

func messageItem(of shape) item {
	head := func(status string) string {
		return fmt.Sprintf(`{"id":"msg_%s","type":"message","status":"%s","role":"assistant","content":`, idMark, status)
	}
	part := func(text string) string {
		return `{"type":"output_text","annotations":[],"logprobs":[],"text":` + text + `}`
	}
	text := quote(of.answer.Text)
	return item{
		begun: head("in_progress") + `[]}`,
		done:  head("completed") + `[` + part(text) + `]}`,
		between: func(s *sequence, index int) {
			at := fmt.Sprintf(`"item_id":"msg_%s","output_index":%d,"content_index":0`, idMark, index)
			s.add(other, "response.content_part.added", at+`,"part":`+part(`""`))
			for _, piece := range of.textPieces() {
				s.add(answering, "response.output_text.delta", at+`,"delta":`+piece+`,"logprobs":[]`)
			}
			s.add(ending, "response.output_text.done", at+`,"text":`+text+`,"logprobs":[]`)
			s.add(ending, "response.content_part.done", at+`,"part":`+part(text))
		},
	}
}

func toolItem(of shape) item {
	call := func(status, arguments string) string {
		return fmt.Sprintf(`{"id":"fc_%s","type":"function_call","status":"%s","arguments":%s,"call_id":"call_%s","name":%s}`,
			idMark, status, arguments, idMark, quote(of.answer.ToolCall))
	}
	return item{
		begun: call("in_progress", `""`),
		done:  call("completed", quote(toolArguments)),
		between: func(s *sequence, index int) {
			at := fmt.Sprintf(`"item_id":"fc_%s","output_index":%d`, idMark, index)
			for _, piece := range argumentPieces() {
				s.add(answering, "response.function_call_arguments.delta", at+`,"delta":`+piece)
			}
			s.add(ending, "response.function_call_arguments.done", at+`,"arguments":`+quote(toolArguments))
		},
	}
}

// sequence numbers the events.
type sequence struct{ events []event }

func (s *sequence) add(k kind, name, fields string) {
	s.events = append(s.events, named(k, name, `{"type":"%s","sequence_number":%d,%s}`, name, len(s.events), fields))
}

func responsesStream(of shape) []event {
	s := &sequence{}
	begun := `"response":` + responsesResponse(of, "in_progress", "null", "null", nil)
	s.add(other, "response.created", begun)
	s.add(other, "response.in_progress", begun)
	var done []string
	for i, item := range responsesItems(of) {
		s.add(other, "response.output_item.added", fmt.Sprintf(`"output_index":%d,"item":%s`, i, item.begun))
		item.between(s, i)
		s.add(ending, "response.output_item.done", fmt.Sprintf(`"output_index":%d,"item":%s`, i, item.done))
		done = append(done, item.done)
	}
	status, incomplete, failure := responsesOutcome(of)
	s.add(ending, "response."+status, `"response":`+responsesResponse(of, status, incomplete, failure, done))
	if of.responsesTellUsage(status) {
		s.events[len(s.events)-1].tells = allUsage
	}
	return s.events
}
