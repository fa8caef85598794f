package spans

// flight has the traces that are not kept, oldest first.
type flight struct {
	oldest, newest *record
	traces         int
	bytes          int // of all their spans
}

func (f *flight) add(r *record) {
	r.flying, r.older = true, f.newest
	if f.newest == nil {
		f.oldest = r
	} else {
		f.newest.newer = r
	}
	f.newest = r
	f.traces++
	f.bytes += r.bytes
}

func (f *flight) remove(r *record) {
	if r.older == nil {
		f.oldest = r.newer
	} else {
		r.older.newer = r.newer
	}
	if r.newer == nil {
		f.newest = r.older
	} else {
		r.newer.older = r.older
	}
	r.flying, r.older, r.newer = false, nil, nil
	f.traces--
	f.bytes -= r.bytes
}
