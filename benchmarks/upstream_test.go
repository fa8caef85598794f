package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is measured for one event is the cost of a stream, divided by these.
func TestStreamHasTheEventsThatItIsDividedBy(t *testing.T) {
	t.Parallel()
	upstream, err := startProcess(t.Context(), roleUpstream)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := upstream.stop(); err != nil {
			t.Error(err)
		}
	}()
	request, err := http.NewRequest(http.MethodPost, "http://"+upstream.addresses[0]+chatPath, strings.NewReader(chatBody(streamEnd)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(headerPieces, strconv.Itoa(streamPieces))
	before := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	stamped := 0
	for line := range bytes.Lines(text) {
		if written, ok := writtenAt(line); ok && written.After(before) && written.Before(time.Now()) {
			stamped++
		}
	}
	if got := bytes.Count(text, []byte("data: ")); got != streamEvents || stamped != streamPieces {
		t.Errorf("%d events, %d of them with their time, want %d and %d", got, stamped, streamEvents, streamPieces)
	}
}
