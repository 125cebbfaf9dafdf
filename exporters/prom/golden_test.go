package prom

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range gotLines {
		if i >= len(wantLines) || !bytes.Equal(gotLines[i], wantLines[i]) {
			t.Fatalf("%s differs from line %d on; -update writes it anew\ngot:  %s\nwant: %s",
				path, i+1, gotLines[i], line(wantLines, i))
		}
	}
	t.Fatalf("%s has %d lines more; -update writes it anew", path, len(wantLines)-len(gotLines))
}

func line(lines [][]byte, i int) []byte {
	if i < len(lines) {
		return lines[i]
	}
	return []byte("(end)")
}

func write(t *testing.T, s *collector.Snapshot, f Format) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, s, f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestGoldens(t *testing.T) {
	s := collectortest.Fixture()
	golden(t, "fixture.prom", write(t, s, Text))
	golden(t, "fixture.om", write(t, s, OpenMetrics))
	golden(t, "fixture.pb.txt", protoText(t, write(t, s, Protobuf)))
}

// protoText is a readable form of delimited protobuf. The package prototext varies its spaces from build to build.
func protoText(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, f := range decodeProto(t, body) {
		out.WriteString(prototext.Format(f))
		out.WriteByte('\n')
	}
	return regexp.MustCompile(`(?m)^(\s*[a-z_]+:) +`).ReplaceAll(out.Bytes(), []byte("$1 "))
}

func decodeProto(t *testing.T, body []byte) []*dto.MetricFamily {
	t.Helper()
	var families []*dto.MetricFamily
	r := bufio.NewReader(bytes.NewReader(body))
	for {
		f := &dto.MetricFamily{}
		err := protodelim.UnmarshalFrom(r, f)
		if errors.Is(err, io.EOF) {
			return families
		}
		if err != nil {
			t.Fatalf("after %d families: %v", len(families), err)
		}
		families = append(families, f)
	}
}
