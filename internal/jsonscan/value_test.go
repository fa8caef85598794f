package jsonscan_test

import (
	"testing"

	"github.com/otelmon/toolkit/internal/jsonscan"
)

func TestTheTextOfAString(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		input   string
		maxText int
		want    string
	}{
		"as it is":                             {`"abc"`, 0, "abc"},
		"escapes are resolved":                 {`"\n\u0041\/\ud83d\ude00"`, 0, "\nA/😀"},
		"half a surrogate pair is replaced":    {`"\ud83dx\ude00"`, 0, "\ufffdx\ufffd"},
		"each byte that is no UTF-8 is too":    {"\"\xff\xffa\xe4\xb8\"", 0, "\ufffd\ufffda\ufffd\ufffd"},
		"it may end with half a pair":          {`"a\ud83d"`, 7, "a\ufffd"},
		"cut behind a character":               {`"abc"`, 2, "ab"},
		"cut within a character":               {`"a中b"`, 3, "a"},
		"cut behind it":                        {`"a中b"`, 4, "a中"},
		"cut behind a backslash":               {`"a\nb"`, 2, "a"},
		"cut behind an escape":                 {`"a\nb"`, 3, "a\n"},
		"cut behind an escaped backslash":      {`"a\\nb"`, 3, `a\`},
		"cut behind \\u":                       {`"a\u4e2db"`, 3, "a"},
		"cut within the digits of \\u":         {`"a\u4e2db"`, 6, "a"},
		"cut behind them":                      {`"a\u4e2db"`, 7, "a中"},
		"cut between the halves of a pair":     {`"a\ud83d\ude00b"`, 7, "a"},
		"cut within the second half of a pair": {`"a\ud83d\uDE00b"`, 12, "a"},
		"cut behind a pair":                    {`"a\ud83d\uDE00b"`, 13, "a😀"},
		"cut within a byte that is no UTF-8":   {"\"a\xff\xffb\"", 2, "a\ufffd"},
		"a number":                             {`-1.50e3`, 0, "-1.50e3"},
		"true has none":                        {`true`, 0, ""},
		"nor has an object":                    {`{}`, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			visits := scan(test.maxText, []byte(test.input)).Visits
			if len(visits) != 1 || visits[0].Text != test.want {
				t.Errorf("%s: got %+v, want %q", test.input, visits, test.want)
			}
		})
	}
}

func TestTheIntegerOfANumber(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		input string
		want  int64
		ok    bool
	}{
		"zero":                           {`0`, 0, true},
		"below zero":                     {`-12`, -12, true},
		"minus zero":                     {`-0.0e7`, 0, true},
		"a fraction that is zero":        {`12.000`, 12, true},
		"an exponent":                    {`1e3`, 1000, true},
		"a fraction and an exponent":     {`1.25E+2`, 125, true},
		"a negative exponent":            {`1200e-2`, 12, true},
		"the largest":                    {`9223372036854775807`, 1<<63 - 1, true},
		"the largest in another way":     {`92233720368547758.07e2`, 1<<63 - 1, true},
		"the smallest":                   {`-9223372036854775808`, -1 << 63, true},
		"zero with a huge exponent":      {`0e99999999999999999999`, 0, true},
		"more than the largest":          {`9223372036854775808`, 0, false},
		"less than the smallest":         {`-9223372036854775809`, 0, false},
		"a huge exponent":                {`1e99999999999999999999`, 0, false},
		"an exponent far below zero":     {`1e-99999999999999999999`, 0, false},
		"a fraction":                     {`1.5`, 0, false},
		"a fraction by its exponent":     {`12e-1`, 0, false},
		"a number whose text was cut":    {`12345678901234567890123`, 0, false},
		"a string with digits":           {`"12"`, 0, false},
		"null":                           {`null`, 0, false},
		"many zeros behind the point":    {`1.0000000000000000`, 1, true},
		"many zeros that an e takes off": {`1000000000000000e-15`, 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			visited := false
			s := jsonscan.Scanner{MaxText: 22, Visit: func(_ []byte, v jsonscan.Value) {
				visited = true
				if got, ok := v.Int(); got != test.want || ok != test.ok {
					t.Errorf("%s: got %d, %t, want %d, %t", test.input, got, ok, test.want, test.ok)
				}
			}}
			_, _ = s.Write([]byte(test.input))
			s.End()
			if !visited {
				t.Errorf("%s was not visited", test.input)
			}
		})
	}
}
