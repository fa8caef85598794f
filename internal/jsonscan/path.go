package jsonscan

// path is where a value stands.
type path struct {
	text  []byte
	sizes []uint8 // of each level in it
	lost  int     // levels that did not fit
}

// complete reports whether nothing is missing in the text.
func (p *path) complete() bool { return p.lost == 0 }

// pushKey goes to the member of an object. Size is that of the whole key.
func (p *path) pushKey(key []byte, size int64) {
	name := key
	if size == 0 || size > maxKey || !plainKey(key) {
		name = []byte("?")
	}
	if len(p.text) == 0 {
		p.push("", name)
	} else {
		p.push(".", name)
	}
}

// pushElement goes to the elements of an array.
func (p *path) pushElement() { p.push("", []byte("[]")) }

// push goes a level down. What does not fit is lost, with all that is below.
func (p *path) push(separator string, name []byte) {
	size := len(separator) + len(name)
	if !p.complete() || len(p.text)+size > maxPath {
		p.lost++
		return
	}
	if p.text == nil {
		p.text, p.sizes = make([]byte, 0, 64), make([]uint8, 0, 16)
	}
	p.text = append(append(p.text, separator...), name...)
	p.sizes = append(p.sizes, uint8(size))
}

// pop goes a level up.
func (p *path) pop() {
	if p.lost > 0 {
		p.lost--
		return
	}
	last := len(p.sizes) - 1
	p.text = p.text[:len(p.text)-int(p.sizes[last])]
	p.sizes = p.sizes[:last]
}

// plainKey reports whether the key can be shown in a path.
func plainKey(key []byte) bool {
	for _, c := range key {
		if !plainByte(c) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		return true
	}
	return false
}
