package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

type bind struct {
	From     string `json:"from"`
	To       string `json:"to"`
	ReadOnly bool   `json:"readonly"`
}

// spec is what to run. Env is the whole environment; Output bounds stdout and stderr together, in
// bytes; a zero stays unlimited, a zero Uid or Gid unchanged.
type spec struct {
	Argv    []string `json:"argv"`
	Env     []string `json:"env"`
	Cwd     string   `json:"cwd"`
	Seconds float64  `json:"seconds"`
	Output  int      `json:"output"`
	Stdin   []byte   `json:"stdin"`
	Nofile  uint64   `json:"nofile"`
	Nproc   uint64   `json:"nproc"`
	Fsize   uint64   `json:"fsize"`
	Uid     int      `json:"uid"`
	Gid     int      `json:"gid"`
	Binds   []bind   `json:"binds"`
}

// record is how it ended. Exit is 128+Signal after a death by signal. Oom says that the cgroup's
// counter rose while the command ran.
type record struct {
	Exit        int     `json:"exit"`
	Signal      int     `json:"signal"`
	StartError  string  `json:"start_error"`
	Timeout     bool    `json:"timeout"`
	OutputLimit bool    `json:"output_limit"`
	Oom         bool    `json:"oom"`
	Seconds     float64 `json:"seconds"`
	Stdout      []byte  `json:"stdout"`
	Stderr      []byte  `json:"stderr"`
}

const (
	prSetChildSubreaper = 36 // linux/prctl.h
	unkillable          = 15 * time.Second
)

func run(text string) error {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	abandoned := make(chan struct{})
	var s spec
	if text != "-" {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return fmt.Errorf("spec: %w", err)
		}
	} else {
		decoder := json.NewDecoder(os.Stdin)
		if err := decoder.Decode(&s); err != nil {
			return fmt.Errorf("spec: %w", err)
		}
		// Whoever started this holds the other end; when it dies, however it dies, the pipe ends.
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(abandoned)
		}()
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("subreaper: %w", errno)
	}
	oom := oomKills()
	began := time.Now()
	c, err := launch(&s)
	if err != nil {
		return err
	}
	r := record{}
	if c.refusal != nil {
		r.Exit, r.StartError = c.refusal.Exit, c.refusal.Text
		return print(r)
	}
	var timeout <-chan time.Time
	if s.Seconds > 0 {
		timeout = time.After(time.Duration(s.Seconds * float64(time.Second)))
	}
	select {
	case <-c.exited:
	case <-timeout:
		r.Timeout = true
	case <-c.output.full:
	case <-quit:
		err = errors.New("told to end")
	case <-abandoned:
		err = errors.New("abandoned")
	}
	r.Seconds = time.Since(began).Seconds()
	if left := c.killAll(); left != nil {
		return left
	}
	if err != nil {
		return err
	}
	<-c.exited
	c.output.wait()
	r.Stdout, r.Stderr = c.output.parts[0].Bytes(), c.output.parts[1].Bytes()
	r.OutputLimit = c.output.over
	if r.Exit = c.status.ExitStatus(); c.status.Signaled() {
		r.Signal = int(c.status.Signal())
		r.Exit = 128 + r.Signal
	}
	r.Oom = oomKills() > oom
	return print(r)
}

// output collects two streams that share one limit.
type output struct {
	sync.Mutex
	parts   [2]bytes.Buffer
	left    int
	limited bool
	over    bool
	full    chan struct{}
	readers []*os.File
	done    sync.WaitGroup
}

func (o *output) add(part int, data []byte) {
	o.Lock()
	defer o.Unlock()
	if o.limited && len(data) > o.left {
		data = data[:o.left]
		if !o.over {
			o.over = true
			close(o.full)
		}
	}
	o.left -= len(data)
	o.parts[part].Write(data)
}

func (o *output) read(part int, from *os.File) {
	o.readers = append(o.readers, from)
	o.done.Add(1)
	go func() {
		defer o.done.Done()
		defer from.Close()
		chunk := make([]byte, 1<<16)
		for {
			n, err := from.Read(chunk)
			o.add(part, chunk[:n])
			if err != nil {
				return
			}
		}
	}()
}

// wait returns at the end of both streams, or soon where somebody outside still holds them.
func (o *output) wait() {
	timer := time.AfterFunc(time.Second, func() {
		for _, reader := range o.readers {
			reader.SetReadDeadline(time.Now())
		}
	})
	o.done.Wait()
	timer.Stop()
}

// child is a command that runs. All of its descendants are this process's, which is their subreaper.
type child struct {
	pid     int
	refusal *refusal
	output  output
	status  syscall.WaitStatus
	exited  chan struct{}
	alone   chan struct{}
}

func launch(s *spec) (*child, error) {
	c := &child{exited: make(chan struct{}), alone: make(chan struct{})}
	c.output.full, c.output.left, c.output.limited = make(chan struct{}), s.Output, s.Output > 0
	order, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var far, near [5]*os.File // stdin, stdout, stderr, the order to the stage, its answer
	for i := range far {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("pipe: %w", err)
		}
		if far[i], near[i] = r, w; i == 1 || i == 2 || i == 4 {
			far[i], near[i] = w, r
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process, err := os.StartProcess(self, []string{self, stage}, &os.ProcAttr{
		Env: []string{}, Files: far[:], Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	c.pid = process.Pid
	for _, file := range far {
		file.Close()
	}
	go c.reap()
	write := func(to *os.File, data []byte) {
		to.Write(data)
		to.Close()
	}
	go write(near[3], order)
	answer, err := io.ReadAll(near[4]) // empty once the program itself runs: the pipe closes on exec
	if err != nil {
		return nil, err
	}
	if len(answer) > 0 {
		<-c.exited
		c.refusal = &refusal{}
		if err := json.Unmarshal(answer, c.refusal); err != nil {
			return nil, err
		}
		if c.refusal.Exit == 0 {
			return nil, errors.New(c.refusal.Text)
		}
		return c, nil
	}
	c.output.read(0, near[1])
	c.output.read(1, near[2])
	go write(near[0], s.Stdin)
	return c, nil
}

func (c *child) reap() {
	for {
		var status syscall.WaitStatus
		switch pid, err := syscall.Wait4(-1, &status, 0, nil); {
		case err == syscall.EINTR:
		case err != nil:
			close(c.alone)
			return
		case pid == c.pid && (status.Exited() || status.Signaled()):
			c.status = status
			close(c.exited)
		}
	}
}

// killAll ends when no descendant is left. The first rounds stop them all, so that none can fork on.
func (c *child) killAll() error {
	end := time.Now().Add(unkillable)
	known := map[int]bool{}
	for {
		select {
		case <-c.alone:
			return nil
		default:
		}
		pids := descendants(os.Getpid())
		fresh := false
		for _, pid := range pids {
			if !known[pid] {
				fresh, known[pid] = true, true
				syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
		if fresh {
			continue
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-c.alone:
			return nil
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes cannot be killed", len(pids))
		}
	}
}

// descendants walks /proc/<pid>/task/*/children.
func descendants(pid int) []int {
	var found []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(append(found, child), descendants(child)...)
			}
		}
	}
	return found
}

// oomKills reads the memory cgroup's counter; -1 where there is none to read.
func oomKills() int {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for _, line := range strings.Split(string(text), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.events"
		if parts[1] == "memory" {
			root, name = "/sys/fs/cgroup/memory", "memory.oom_control"
		} else if parts[1] != "" {
			continue
		}
		// Inside a container the path is the host's, and the container's own group is the mount's root.
		for _, dir := range []string{filepath.Join(root, parts[2]), root} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				if n := counter(string(text), "oom_kill"); n >= 0 {
					return n
				}
			}
		}
	}
	return -1
}

func counter(text, name string) int {
	for _, line := range strings.Split(text, "\n") {
		if value, found := strings.CutPrefix(line, name+" "); found {
			if n, err := strconv.Atoi(value); err == nil {
				return n
			}
		}
	}
	return -1
}
