//go:build linux && cgo

package driver

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// A call of a function that the library lacks ends the process. So every use of a method of go-nvml must stand inside a call
// or a literal that names the method, and the method in the table.
func TestEveryCallIsLookedUp(t *testing.T) {
	methods := map[string]bool{}
	for _, i := range []reflect.Type{
		reflect.TypeFor[nvml.Interface](), reflect.TypeFor[nvml.Device](), reflect.TypeFor[nvml.EventSet](), reflect.TypeFor[nvml.GpmSample](),
	} {
		for n := range i.NumMethod() {
			methods[i.Method(n).Name] = true
		}
	}
	delete(methods, "Extensions") // looks up
	used := map[string]bool{"Init": true}
	for name, file := range sources(t, ".") {
		ast.PreorderStack(file, nil, func(n ast.Node, stack []ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !methods[sel.Sel.Name] || ours(sel) {
				return true
			}
			method := sel.Sel.Name
			switch {
			case symbols[method] == nil:
				t.Errorf("%s: %s is not in the table of symbols", name, method)
			case method != "Init" && !named(stack, method):
				t.Errorf("%s: %s is used outside of a call, do, number or row that names it", name, method)
			}
			used[method] = true
			return true
		})
	}
	for method := range symbols {
		if !used[method] {
			t.Errorf("%s is in the table of symbols and never called", method)
		}
	}
	if len(used) < 50 {
		t.Errorf("only %d methods found", len(used))
	}
}

// ours reports a method of our own that has the name of one of go-nvml's, such as g.free.
func ours(sel *ast.SelectorExpr) bool {
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "lib" && sel.Sel.Name == "Open"
}

// named reports whether the nearest call or row around a node names the method.
func named(stack []ast.Node, method string) bool {
	for _, n := range slices.Backward(stack) {
		var parts []ast.Expr
		switch n := n.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && slices.Contains([]string{"call", "do", "number"}, f.Name) {
				parts = n.Args
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "method" {
					parts = append(parts, kv.Value)
				}
			}
		}
		if len(parts) > 0 {
			return slices.ContainsFunc(parts, func(e ast.Expr) bool {
				l, ok := e.(*ast.BasicLit)
				return ok && l.Value == strconv.Quote(method)
			})
		}
	}
	return false
}

func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	pkgs, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // build tags do not matter
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		return p.Files
	}
	return nil
}

// The table must say what go-nvml really calls, in this version of it.
func TestSymbolsAreThoseOfGoNVML(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "github.com/NVIDIA/go-nvml/pkg/nvml").Output()
	if err != nil {
		t.Skip("the source of go-nvml is not to be found: ", err)
	}
	calls, versions := goNVML(t, filepath.Clean(strings.TrimSpace(string(out))))
	for method, want := range symbols {
		got := map[string]bool{}
		for _, f := range calls[method] {
			for _, v := range append(versions[f], f) {
				got[strings.TrimSuffix(v, "_v1")] = true
			}
		}
		if !maps.Equal(got, set(want)) {
			t.Errorf("%s calls %v, the table says %v", method, slices.Sorted(maps.Keys(got)), want)
		}
	}
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// goNVML reads which C functions the methods of go-nvml call, and by which versions it replaces a function.
func goNVML(t *testing.T, dir string) (calls, versions map[string][]string) {
	t.Helper()
	calls, versions = map[string][]string{}, map[string][]string{}
	bodies := map[string][]string{} // method and receiver, to what it calls
	for name, file := range sources(t, dir) {
		if base := filepath.Base(name); base == "nvml.go" || strings.HasPrefix(base, "zz_") || strings.HasSuffix(base, "_mock.go") {
			continue
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if f.Name.Name == "updateVersionedSymbols" {
				ast.Inspect(f.Body, func(n ast.Node) bool {
					if a, ok := n.(*ast.AssignStmt); ok {
						if to, ok := a.Lhs[0].(*ast.Ident); ok && to.Name != "err" {
							f := cFunction(to.Name)
							versions[f] = append(versions[f], cFunction(a.Rhs[0].(*ast.Ident).Name))
						}
					}
					return true
				})
			}
			key := f.Name.Name
			if f.Recv != nil {
				if r, ok := f.Recv.List[0].Type.(*ast.Ident); ok && r.Name == "nvmlDevice" {
					key = "device." + key
				}
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && isFunction(id.Name) {
					bodies[key] = append(bodies[key], cFunction(id.Name))
				}
				return true
			})
		}
	}
	for method := range symbols {
		body, ok := bodies["device."+method]
		switch {
		case method == "GetGpuFabricInfoV" || method == "GetTemperatureV":
			body = []string{"nvmlDevice" + method} // by a handler
		case method == "GpmSampleGet" || method == "GpmMigSampleGet" || method == "GpmSampleFree" || method == "GpmMetricsGet" || method == "EventSetWait" ||
			method == "EventSetFree":
			body = []string{"nvml" + method} // by a method of the argument
		case !ok:
			body = bodies[method]
		}
		slices.Sort(body)
		calls[method] = slices.Compact(body)
	}
	return calls, versions
}

// isFunction reports a C function among the names of go-nvml.
func isFunction(name string) bool {
	for _, p := range []string{"nvmlDevice", "nvmlSystem", "nvmlEvent", "nvmlGpm", "nvmlInit", "deviceGet"} {
		if rest, ok := strings.CutPrefix(name, p); ok && (rest == "" || rest[0] >= 'A' && rest[0] <= 'Z') && name != "nvmlDevice" {
			return !strings.HasPrefix(name, "nvmlEventData") && !strings.HasPrefix(name, "nvmlEventSet ") && name != "nvmlEventSet" &&
				name != "nvmlGpmSample" && name != "nvmlDeviceHandle"
		}
	}
	return false
}

// cFunction is the C function behind a name in go-nvml.
func cFunction(name string) string {
	if rest, ok := strings.CutPrefix(name, "deviceGet"); ok {
		name = "nvmlDeviceGet" + rest
	}
	return strings.TrimSuffix(name, "Stub")
}

// Whatever is absent, no group and no other call may fail or touch it: the mocks panic where the real library would end the process.
func TestAnySymbolMayBeAbsent(t *testing.T) {
	for method, names := range symbols {
		if slices.Contains([]string{"Init", "DeviceGetCount", "DeviceGetHandleByIndex", "GetUUID"}, method) {
			continue // without these there are no GPUs; New and Open say so
		}
		s, m := host()
		loaded(m)
		fielded(m, allFields())
		profiled(s, m)
		m.GetMigModeFunc = func() (int, int, nvml.Return) { return 1, 1, nvml.SUCCESS }
		m.GetMaxMigDeviceCountFunc = gives(1)
		m.GetGpuInstanceIdFunc = gives(1)
		m.GetMigDeviceHandleByIndexFunc = func(int) (nvml.Device, nvml.Return) { return part("MIG-1", "", 1), nvml.SUCCESS }
		for _, mocked := range []any{&s.Interface, &m.Device} {
			if f := reflect.ValueOf(mocked).Elem().FieldByName(method + "Func"); f.IsValid() {
				f.SetZero()
			}
		}
		d := open(t, s, names...)
		for _, one := range append(instances(t, d), d) {
			for g := range Groups {
				mustRead(t, one, g)
			}
		}
		if _, err := d.lib.Events([]Device{d}); !errors.Is(err, ErrNotSupported) {
			t.Errorf("%s: %v", method, err)
		}
	}
}
