package otlp

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of ExportTraceServiceResponse and ExportTracePartialSuccess. Those
// of the messages for logs and metrics have the same numbers.
const (
	responsePartialSuccess protowire.Number = 1

	partialSuccessRejected protowire.Number = 1
	partialSuccessMessage  protowire.Number = 2
)

// Rejected reads the response to an export of spans, log records or metrics: how
// many items the peer rejected, and why. For a full success, such as an empty
// reply, that is 0 and usually "". The count is not negative, but may be more
// than was sent; the message is valid text of any length. What is not a protocol
// buffer message is an error.
func Rejected(reply []byte) (count int64, message string, err error) {
	err = eachField(reply, func(number protowire.Number, kind protowire.Type, value []byte) error {
		if number != responsePartialSuccess || kind != protowire.BytesType {
			return nil
		}
		partial, _ := protowire.ConsumeBytes(value)
		return eachField(partial, func(number protowire.Number, kind protowire.Type, value []byte) error {
			switch {
			case number == partialSuccessRejected && kind == protowire.VarintType:
				n, _ := protowire.ConsumeVarint(value)
				count = max(0, int64(n))
			case number == partialSuccessMessage && kind == protowire.BytesType:
				text, _ := protowire.ConsumeBytes(value)
				message = strings.ToValidUTF8(string(text), "\uFFFD")
			}
			return nil
		})
	})
	if err != nil {
		return 0, "", fmt.Errorf("reading an OTLP response: %w", err)
	}
	return count, message, nil
}

// eachField calls do with each field of the message, until that fails. The value
// is well-formed, and has its length with it.
func eachField(b []byte, do func(number protowire.Number, kind protowire.Type, value []byte) error) error {
	for len(b) > 0 {
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return protowire.ParseError(tag)
		}
		size := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := do(number, kind, b[tag:tag+size]); err != nil {
			return err
		}
		b = b[tag+size:]
	}
	return nil
}
