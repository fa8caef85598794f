package jsonscan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

func TestValuesAreVisitedWithTheirPaths(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		input string
		want  []string // path, then text
	}{
		"a member of an object within an array": {
			`{"choices":[{"delta":{"content":"Hi"}}]}`,
			[]string{"={", "choices=[", "choices[]={", "choices[].delta={", "choices[].delta.content=Hi"},
		},
		"a scalar at the top has no path":           {`12`, []string{"=12"}},
		"elements of an array at the top":           {`[1,[2]]`, []string{"=[", "[]=1", "[]=[", "[][]=2"}},
		"members behind an object are its siblings": {`{"a":{"b":1},"c":2}`, []string{"={", "a={", "a.b=1", "c=2"}},
		"a key that is there twice":                 {`{"a":1,"a":2}`, []string{"={", "a=1", "a=2"}},
		"a key with a point cannot pose as a path":  {`{"usage.total":1}`, []string{"={", "?=1"}},
		"a key without characters is shown":         {`{"":{"a":1}}`, []string{"={", "?={", "?.a=1"}},
		"a key with an escape is not resolved":      {`{"\u0061":1}`, []string{"={", "?=1"}},
		"a key that is too long is not shown":       {`{"` + strings.Repeat("a", 65) + `":1}`, []string{"={", "?=1"}},
		"documents have paths of their own":         {"{\"a\":[1]}\n{\"b\":2}", []string{"={", "a=[", "a[]=1", "={", "b=2"}},
		"true, false and null have no text":         {`[true,false,null]`, []string{"=[", "[]=t", "[]=f", "[]=n"}},
		"what comes before an error is visited":     {`[1,2,,3]`, []string{"=[", "[]=1", "[]=2"}},
		"a number that is not delimited is not":     {`[1,2`, []string{"=[", "[]=1"}},
	}
	marks := map[jsonscan.Kind]string{
		jsonscan.Null: "n", jsonscan.False: "f", jsonscan.True: "t", jsonscan.Object: "{", jsonscan.Array: "[",
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, v := range scan(0, []byte(test.input)).Visits {
				got = append(got, v.Path+"="+marks[v.Kind]+v.Text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestItAgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, input := range inputs {
		want, got := reference([]byte(input)), scan(1<<20, []byte(input))
		if diff := disagreement(want, got); diff != "" {
			t.Errorf("%.80q: encoding/json (-), got (+):\n%s", input, diff)
		}
	}
}

func TestSplitsMakeNoDifference(t *testing.T) {
	t.Parallel()
	for _, input := range inputs {
		want := scan(0, []byte(input))
		step := 1 + len(input)/400 // all splits, but for the few inputs that are long
		for i := 0; i < len(input); i += step {
			got := scan(0, []byte(input[:i]), []byte(input[i:]))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%.80q split at %d: want (-), got (+):\n%s", input, i, diff)
			}
		}
		if diff := cmp.Diff(want, scan(0, chunks([]byte(input), 1)...)); diff != "" {
			t.Errorf("%.80q byte by byte: want (-), got (+):\n%s", input, diff)
		}
	}
}

func TestWhatIsToldOfTheInput(t *testing.T) {
	t.Parallel()
	type told struct {
		Documents        int
		Malformed, Blank bool
	}
	tests := map[string]struct {
		input string
		want  told // before End
		end   told
	}{
		"nothing is blank":                         {"", told{Blank: true}, told{Blank: true}},
		"white space is blank":                     {" \r\n\t", told{Blank: true}, told{Blank: true}},
		"a byte order mark alone is blank":         {"\xef\xbb\xbf\n", told{Blank: true}, told{Blank: true}},
		"an object ends with its bracket":          {"{}", told{Documents: 1}, told{Documents: 1}},
		"a number at the top ends with the input":  {"12", told{}, told{Documents: 1}},
		"a number that is not complete":            {"12.", told{}, told{Malformed: true}},
		"a document that is not complete":          {`{"a":[1`, told{}, told{Malformed: true}},
		"an error behind a document":               {"{} x", told{Documents: 1, Malformed: true}, told{Documents: 1, Malformed: true}},
		"documents may follow each other directly": {`{}[]""true`, told{Documents: 4}, told{Documents: 4}},
		"but numbers have to be delimited":         {"01 ", told{Malformed: true}, told{Malformed: true}},
		"bytes that are not UTF-8 are no error":    {"\"\xff\"", told{Documents: 1}, told{Documents: 1}},
		"control characters in strings are":        {"\"\n\"", told{Malformed: true}, told{Malformed: true}},
	}
	tell := func(s *jsonscan.Scanner) told { return told{s.Documents(), s.Malformed(), s.Blank()} }
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s jsonscan.Scanner
			if n, err := s.Write([]byte(test.input)); n != len(test.input) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			if got := tell(&s); got != test.want {
				t.Errorf("before End: got %+v, want %+v", got, test.want)
			}
			s.End()
			if got := tell(&s); got != test.end {
				t.Errorf("after End: got %+v, want %+v", got, test.end)
			}
		})
	}
}

func TestResetForgetsAll(t *testing.T) {
	t.Parallel()
	const document = `{"a":[{"b":"c"}]}`
	want := scan(2, []byte(document))
	for i := range chunk {
		s := jsonscan.Scanner{MaxText: 2}
		visits := record(&s)
		_, _ = s.Write([]byte(chunk[:i]))
		s.Reset()
		*visits = nil
		_, _ = s.Write([]byte(document))
		got := result{*visits, s.Documents(), s.Malformed(), s.Blank()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("after %q: want (-), got (+):\n%s", chunk[:i], diff)
		}
	}
}

func TestNestingIsLimited(t *testing.T) {
	t.Parallel()
	for depth, want := range map[int]bool{limitDepth: false, limitDepth + 1: true} {
		var s jsonscan.Scanner
		_, _ = s.Write([]byte(strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("[", depth%2)))
		if s.Malformed() != want {
			t.Errorf("%d levels: malformed %t, want %t", depth, s.Malformed(), want)
		}
	}
}

func TestValuesAreVisitedBehindThoseWhosePathIsTooLong(t *testing.T) {
	t.Parallel()
	visits := scan(0, []byte(deepObject+`{"a":1}`)).Visits
	if last := visits[len(visits)-1].Path; last != "a" {
		t.Errorf("the last path is %q, want a", last)
	}
	longest := 0
	for _, v := range visits {
		longest = max(longest, len(v.Path))
	}
	if longest > limitPath || longest < limitPath-limitKey {
		t.Errorf("the longest path has %d bytes of %d", longest, limitPath)
	}
}

func TestNothingIsAllocated(t *testing.T) { // not parallel: allocations are counted
	long := []byte(`{"content":"` + strings.Repeat(`long text\n`, 1<<14) + `"}`)
	tests := map[string][]byte{
		"an event of a chat completion": []byte(chunk),
		"a document with a long string": long,
		"a path that is too long":       []byte(deepObject),
		"what is malformed":             []byte(`{"a":[1,2,x`),
	}
	for name, input := range tests {
		t.Run(name, func(t *testing.T) {
			var total int64
			s := jsonscan.Scanner{Visit: func(_ []byte, v jsonscan.Value) {
				n, _ := v.Int()
				total += n
			}}
			scanAll := func() {
				s.Reset()
				_, _ = s.Write(input[:len(input)/2])
				_, _ = s.Write(input[len(input)/2:])
				s.End()
			}
			if allocs := testing.AllocsPerRun(100, scanAll); allocs != 0 {
				t.Errorf("%v allocations, want none", allocs)
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	benchmark(b, []byte(chunk))
}

func BenchmarkLongStrings(b *testing.B) {
	content := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 3000) + `\n`
	benchmark(b, []byte(`{"choices":[`+strings.Repeat(`{"content":"`+content+`"},`, 8)+`{}]}`))
}

func benchmark(b *testing.B, input []byte) {
	b.Helper()
	s := jsonscan.Scanner{Visit: func([]byte, jsonscan.Value) {}}
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		_, _ = s.Write(input)
	}
	if s.Malformed() || s.Documents() != 1 {
		b.Fatal("the document was not read")
	}
}
