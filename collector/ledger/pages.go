package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The file format of bbolt, as far as reading needs it (go.etcd.io/bbolt/internal/common). Integers are in the byte order
// of the machine. This reader exists because bbolt panics on a damaged file in a goroutine that nobody can recover, and
// because it trusts what it reads: page numbers, counts and lengths.
const (
	pageSize       = 4096 // the ledger always makes its files with this size
	pageHeaderSize = 16
	elementSize    = 16

	branchPage = 1
	leafPage   = 2
	bucketFlag = 1

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)

	maxDepth = 24 // of the tree: beyond any file that fits a disk
)

var native = binary.NativeEndian

// pages reads one committed tree of a bbolt file.
type pages struct {
	file io.ReaderAt
	root uint64
	high uint64 // pages in use or free: those from here on do not exist
	seen []bool
	bufs [maxDepth][]byte
	lost bool // one of the two meta pages is invalid
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// openPages chooses the newer valid meta page, as bbolt does.
func openPages(file io.ReaderAt, size int64) (*pages, error) {
	if size < 4*pageSize {
		return nil, damaged("the file has only %d bytes", size)
	}
	p := &pages{file: file}
	var newest uint64
	found := false
	for i := range int64(2) {
		m, ok, err := readMeta(file, i*pageSize)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			p.lost = true
			continue
		case found && m.txid <= newest:
			continue
		}
		found, newest, p.root, p.high = true, m.txid, m.root, m.high
		if m.freelist != noFreelist {
			return nil, damaged("the file has a list of free pages, which this program never writes")
		}
	}
	if !found {
		return nil, damaged("both meta pages are invalid")
	}
	if p.high < 4 || p.high > uint64(size)/pageSize {
		return nil, damaged("%d pages are in use, the file has %d", p.high, size/pageSize)
	}
	p.seen = make([]bool, p.high)
	return p, nil
}

type metaPage struct{ root, freelist, high, txid uint64 }

// readMeta returns false if the page is not a valid meta page.
func readMeta(file io.ReaderAt, at int64) (metaPage, bool, error) {
	var buf [pageHeaderSize + 64]byte
	if err := readFull(file, buf[:], at); err != nil {
		return metaPage{}, false, err
	}
	m := buf[pageHeaderSize:]
	sum := fnv.New64a()
	sum.Write(m[:56])
	if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint32(m[8:]) != pageSize ||
		native.Uint64(m[56:]) != sum.Sum64() {
		return metaPage{}, false, nil
	}
	return metaPage{
		root: native.Uint64(m[16:]), freelist: native.Uint64(m[32:]), high: native.Uint64(m[40:]), txid: native.Uint64(m[48:]),
	}, true, nil
}

func readFull(file io.ReaderAt, buf []byte, at int64) error {
	_, err := file.ReadAt(buf, at)
	if errors.Is(err, io.EOF) {
		return damaged("the file ends before byte %d", at+int64(len(buf)))
	}
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	return nil
}

// bucket is one top-level bucket: a tree, or the page itself where it is small.
type bucket struct {
	name   []byte
	root   uint64
	inline []byte
}

// buckets lists the top level, which holds nothing else.
func (p *pages) buckets() ([]bucket, error) {
	var list []bucket
	err := p.walk(p.root, nil, nil, 0, func(flags uint32, key, value []byte) error {
		if flags != bucketFlag || len(value) < 16 {
			return damaged("the entry %q of the top level is no bucket", key)
		}
		b := bucket{name: bytes.Clone(key), root: native.Uint64(value)}
		if b.root == 0 {
			b.inline = bytes.Clone(value[16:])
		}
		list = append(list, b)
		return nil
	})
	return list, err
}

// records calls yield for every entry of a bucket in the order of keys. Key and value are valid during the call only.
func (p *pages) records(b bucket, yield func(key, value []byte) error) error {
	each := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return damaged("an entry of bucket %q is a bucket", b.name)
		}
		return yield(key, value)
	}
	if b.inline == nil {
		return p.walk(b.root, nil, nil, 1, each)
	}
	if len(b.inline) < pageHeaderSize {
		return damaged("bucket %q has no page", b.name)
	}
	h := headerOf(b.inline)
	if h.flags != leafPage || h.id != 0 || h.overflow != 0 {
		return damaged("the page within bucket %q is no leaf", b.name)
	}
	return walkLeaf(b.inline, h, nil, nil, each)
}

type pageHeader struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
}

func headerOf(page []byte) pageHeader {
	return pageHeader{
		id: native.Uint64(page), flags: native.Uint16(page[8:]),
		count: int(native.Uint16(page[10:])), overflow: uint64(native.Uint32(page[12:])),
	}
}

// load reads a page with its overflow. A page may be reached once only.
func (p *pages) load(id uint64, depth int) ([]byte, pageHeader, error) {
	if depth >= maxDepth {
		return nil, pageHeader{}, damaged("the tree is deeper than %d", maxDepth)
	}
	if id < 2 || id >= p.high {
		return nil, pageHeader{}, damaged("page %d does not exist", id)
	}
	buf := p.buffer(depth, pageSize)
	if err := readFull(p.file, buf, int64(id)*pageSize); err != nil {
		return nil, pageHeader{}, err
	}
	h := headerOf(buf)
	if h.id != id || h.overflow >= p.high-id {
		return nil, pageHeader{}, damaged("page %d says that it is page %d with %d more", id, h.id, h.overflow)
	}
	for i := id; i <= id+h.overflow; i++ {
		if p.seen[i] {
			return nil, pageHeader{}, damaged("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	if h.overflow > 0 {
		buf = p.buffer(depth, int(h.overflow+1)*pageSize)
		if err := readFull(p.file, buf, int64(id)*pageSize); err != nil {
			return nil, pageHeader{}, err
		}
	}
	return buf, h, nil
}

func (p *pages) buffer(depth, size int) []byte {
	if cap(p.bufs[depth]) < size {
		p.bufs[depth] = make([]byte, size)
	}
	return p.bufs[depth][:size]
}

type visit func(flags uint32, key, value []byte) error

// walk visits the entries of a tree. The first key must be low, exactly, because bbolt finds a page in its parent by that
// key when it rewrites it; all must be below high. Nil is no bound.
func (p *pages) walk(id uint64, low, high []byte, depth int, each visit) error {
	page, h, err := p.load(id, depth)
	if err != nil {
		return err
	}
	switch h.flags {
	case leafPage:
		return walkLeaf(page, h, low, high, each)
	case branchPage:
		return p.walkBranch(page, h, low, high, depth, each)
	}
	return damaged("page %d is neither branch nor leaf", id)
}

func (p *pages) walkBranch(page []byte, h pageHeader, low, high []byte, depth int, each visit) error {
	if h.count == 0 || pageHeaderSize+h.count*elementSize > len(page) {
		return damaged("page %d cannot have %d entries", h.id, h.count)
	}
	keyAt := func(i int) ([]byte, uint64, error) {
		at := pageHeaderSize + i*elementSize
		e := page[at : at+elementSize]
		key, err := cut(page, h, at, native.Uint32(e), native.Uint32(e[4:]))
		return key, native.Uint64(e[8:]), err
	}
	key, child, err := keyAt(0)
	for i := range h.count {
		if err != nil {
			return err
		}
		if i == 0 && low != nil && !bytes.Equal(key, low) {
			return damaged("page %d does not begin with the key that its parent has", h.id)
		}
		var next []byte
		var nextChild uint64
		upper := high
		if i+1 < h.count {
			next, nextChild, err = keyAt(i + 1)
			upper = next
		}
		if err != nil {
			return err
		}
		if upper != nil && bytes.Compare(key, upper) >= 0 {
			return damaged("the keys of page %d are out of order", h.id)
		}
		if err := p.walk(child, key, upper, depth+1, each); err != nil {
			return err
		}
		key, child = next, nextChild
	}
	return nil
}

func walkLeaf(page []byte, h pageHeader, low, high []byte, each visit) error {
	if pageHeaderSize+h.count*elementSize > len(page) {
		return damaged("page %d cannot have %d entries", h.id, h.count)
	}
	if h.count == 0 && low != nil {
		return damaged("page %d is empty", h.id)
	}
	var last []byte
	for i := range h.count {
		at := pageHeaderSize + i*elementSize
		e := page[at : at+elementSize]
		flags, pos, keyLen, valueLen := native.Uint32(e), native.Uint32(e[4:]), native.Uint32(e[8:]), native.Uint32(e[12:])
		both, err := cut(page, h, at, pos, uint64(keyLen)+uint64(valueLen))
		if err != nil {
			return err
		}
		key := both[:keyLen]
		if i == 0 && low != nil && !bytes.Equal(key, low) {
			return damaged("page %d does not begin with the key that its parent has", h.id)
		}
		if len(key) == 0 || i > 0 && bytes.Compare(key, last) <= 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return damaged("the keys of page %d are out of order", h.id)
		}
		if err := each(flags, key, both[keyLen:]); err != nil {
			return err
		}
		last = key
	}
	return nil
}

// cut returns length bytes of a page that begin pos bytes after the element at at.
func cut[N uint32 | uint64](page []byte, h pageHeader, at int, pos uint32, length N) ([]byte, error) {
	from := uint64(at) + uint64(pos)
	if from < uint64(pageHeaderSize+h.count*elementSize) || from+uint64(length) > uint64(len(page)) {
		return nil, damaged("an entry of page %d lies outside it", h.id)
	}
	return page[from : from+uint64(length)], nil
}
