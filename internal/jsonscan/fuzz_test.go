package jsonscan_test

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

// FuzzScanner compares the scanner with encoding/json: the documents, the values
// in them, and whether the input is malformed. Of a malformed input the values
// of the complete documents have to be the first that were visited. Neither
// splits nor a smaller MaxText may make a difference.
func FuzzScanner(f *testing.F) {
	for _, input := range inputs {
		f.Add([]byte(input), uint8(3))
	}
	f.Fuzz(func(t *testing.T, input []byte, size uint8) {
		want := reference(input)
		got := scan(len(input)+1, input)
		if split := scan(len(input)+1, chunks(input, int(size)+1)...); !cmp.Equal(got, split) {
			t.Errorf("in pieces (+) it is different:\n%s", cmp.Diff(got, split))
		}
		checkCut(t, got.Visits, scan(int(size)+1, input).Visits, int(size)+1)
		if diff := disagreement(want, got); diff != "" {
			t.Errorf("encoding/json (-), got (+):\n%s", diff)
		}
		for _, v := range got.Visits {
			checkInt(t, v)
		}
	})
}

// checkCut compares texts that may be cut with the whole ones.
func checkCut(t *testing.T, whole, cut []visit, maxText int) {
	t.Helper()
	if len(whole) != len(cut) {
		t.Fatalf("%d values with texts that are cut, want %d", len(cut), len(whole))
	}
	for i, v := range cut {
		kept := min(len(whole[i].Raw), maxText)
		if v.Raw != whole[i].Raw[:kept] || !strings.HasPrefix(whole[i].Text, v.Text) {
			t.Errorf("%q is cut to %q, %q to %q", whole[i].Raw, v.Raw, whole[i].Text, v.Text)
		}
		v.Raw, v.Text = whole[i].Raw, whole[i].Text
		if v != whole[i] {
			t.Errorf("got %+v with its text cut, want %+v", v, whole[i])
		}
	}
}

// checkInt compares the integer of a number with that of math/big, unless the
// exponent is so large that it would take long.
func checkInt(t *testing.T, v visit) {
	t.Helper()
	_, exponent, _ := strings.Cut(strings.ToLower(v.Raw), "e")
	if v.Kind != jsonscan.Number || len(exponent) > 3 {
		return
	}
	value := jsonscan.Value{Kind: v.Kind, Text: []byte(v.Raw), Size: v.Size}
	n, ok := value.Int()
	exact, valid := new(big.Rat).SetString(v.Raw)
	if !valid {
		t.Fatalf("%q is visited as a number", v.Raw)
	}
	if want := exact.IsInt() && exact.Num().IsInt64(); ok != want || ok && n != exact.Num().Int64() {
		t.Errorf("the integer of %s: got %d, %t, want %s", v.Raw, n, ok, exact.RatString())
	}
}

// inputs are whole documents, sequences of them, and what is neither.
var inputs = []string{
	"", " \n", "\xef\xbb\xbf", "\xef\xbb\xbf{}", "\xef\xbb", " \xef\xbb\xbf1",
	`1`, `-0`, `01`, `-`, `1.`, `1.5e+10`, `1e`, `1e5.`, `+1`, `.5`, `1-`, `12.0`, `1200e-2`, `1 2`, `1{}2[]"a"3`, `1true`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`, `0.05e2`, `0e99999999999999999999`,
	`true`, `false`, `null`, `nul`, `nulll`, `truefalse`, `True`,
	`""`, `"a`, "\"\n\"", "\"0123456\x00\"", "\"\x7f\x80\xff 01234567\"", `"\u12"`, `"\x"`, `"\/\b\f\n\r\t\"\\"`,
	`"中😀"`, `"中\ud83d\ude00\ud83dx\ude00\ud83d\u00e9\ud83d"`, "\"01234567\xe4\xb8\"", `"\u12G4"`,
	`[]`, `[1,"a",[true,{}],null]`, `[1,]`, `[,1]`, `[1 2]`, `[}`, `]`, `[`, `[[],[[]],{"a":[]}]`,
	`{}`, `{"a":1,"a":2}`, `{"a":{"b":{"c":[{"d":"e"}]},"f":0}}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{1:2}`, `{"a":1]`, `{"a"`,
	`{"":1,"a.b":2,"a[]":3,"a\u0062":4,"é":5,"_-9":{"":{"x":6}}}`,
	"{\"a\":1}\n{\"b\":2}\r\n\r\n{\"c\":3}{\"d\":4}\n", `{"a":1} x`, `{"a":1}]`,
	`{"` + strings.Repeat("k", limitKey) + `":1,"` + strings.Repeat("k", limitKey+1) + `":2}`,
	strings.Repeat("[", limitDepth) + strings.Repeat("]", limitDepth) + "1",
	strings.Repeat("[", limitDepth+1) + strings.Repeat("]", limitDepth+1),
	deepObject + ` {"a":1}`,
	chunk, string(bytes.ReplaceAll([]byte(chunk), []byte(","), []byte(" ,\r\n\t"))),
}

// deepObject has paths that do not fit, with values behind them that do.
var deepObject = strings.Repeat(`{"`+strings.Repeat("k", limitKey-1)+`":[`, 9) + `{"b":1}` +
	strings.Repeat(`],"b":2}`, 9)

// chunk is an event of a streamed chat completion.
const chunk = `{"id":"chatcmpl-9f1c2d3e4b5a69788796a5b4c3d2e1f0","object":"chat.completion.chunk","created":1735689600,` +
	`"model":"deepseek-chat","system_fingerprint":"fp_3a5770e1b4","choices":[{"index":0,` +
	`"delta":{"role":"assistant","content":" Hello"},"logprobs":null,"finish_reason":null}],"usage":null}`
