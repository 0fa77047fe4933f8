package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Two streams share one limit, and what goes past it is cut to the byte.
func TestOutputLimit(t *testing.T) {
	o := output{left: 5, limited: true, full: make(chan struct{})}
	o.add(0, []byte("abc"))
	o.add(1, []byte("de"))
	if o.over {
		t.Fatal("over at the limit")
	}
	o.add(0, []byte("f"))
	o.add(1, []byte("g"))
	if got := o.parts[0].String() + o.parts[1].String(); got != "abcde" || !o.over {
		t.Fatalf("got %q, over %v", got, o.over)
	}
	<-o.full
}

// Both cgroup versions spell the counter alike, and a longer name is another counter.
func TestCounter(t *testing.T) {
	for text, want := range map[string]int{
		"low 0\noom 7\noom_kill 2\noom_group_kill 9\n":  2,
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n": 3,
		"oom 7\n":      -1,
		"oom_kill x\n": -1,
		"":             -1,
	} {
		if got := counter(text, "oom_kill"); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

// A bare name is looked up on the child's own PATH, of which an empty part is the folder it runs in.
func TestCandidates(t *testing.T) {
	for _, c := range []struct{ argv, env, want []string }{
		{[]string{"go"}, []string{"A=b", "PATH=/x::/y"}, []string{"/x/go", "./go", "/y/go"}},
		{[]string{"./go"}, []string{"PATH=/x"}, []string{"./go"}},
		{[]string{"go"}, nil, nil},
		{[]string{""}, []string{"PATH=/x"}, nil},
		{nil, []string{"PATH=/x"}, nil},
	} {
		if got := candidates(c.argv, c.env); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q %q: got %q, want %q", c.argv, c.env, got, c.want)
		}
	}
}

// A seeded cache can be written without a change to the one below it.
func TestSeed(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	for _, name := range []string{"h/manifest", "o/digest/libc.a", "z/source"} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("old"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := seed(from, to); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "h", "manifest"), []byte("new"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(to, "o", "another"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"o/digest/libc.a", "z/source"} {
		if data, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(data) != "old" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if data, _ := os.ReadFile(filepath.Join(from, "h", "manifest")); string(data) != "old" {
		t.Errorf("the manifest below changed to %q", data)
	}
	if entries, _ := os.ReadDir(filepath.Join(from, "o")); len(entries) != 1 {
		t.Errorf("the artefacts below changed: %v", entries)
	}
}
