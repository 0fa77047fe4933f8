// Supervisor starts one command, watches it and all that it leaves behind, and says how it ended.
//
// Both engines use it, so that the same program ends in the same words everywhere.
//
//	supervisor init               PID 1 of a warm container: reaps, and ends on SIGTERM
//	supervisor run SPEC           run one command; SPEC is JSON, "-" reads it from standard input
//	supervisor clean DIR...       kill all else of this user, empty the folders
//	supervisor seed FROM TO       lay a writable zig cache TO over a read-only one
//
// Facts about the command are one JSON record on standard output and exit status 0. Any other status,
// with a line on standard error, is a fault of the machine.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const fault = 70 // EX_SOFTWARE of sysexits.h

func main() {
	if err := dispatch(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "supervisor: %v\n", err)
		os.Exit(fault)
	}
}

func dispatch(args []string) error {
	if len(args) == 0 {
		return errors.New("want init, run, clean or seed")
	}
	switch command, args := args[0], args[1:]; {
	case command == "init":
		reapForEver()
		return nil
	case command == "run" && len(args) == 1:
		return run(args[0])
	case command == stage && len(args) == 0:
		return start()
	case command == "clean":
		return clean(args)
	case command == "seed" && len(args) == 2:
		return seed(args[0], args[1])
	}
	return fmt.Errorf("no such command: %q", args)
}

func reapForEver() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	for {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err != syscall.EINTR && pid <= 0 {
				break
			}
		}
		select {
		case <-children:
		case <-ends:
			return
		}
	}
}

// clean kills every other process of this user and empties the folders. It does so only where PID 1 is
// this program's own init: on a machine it would end the user's whole session.
func clean(dirs []string) error {
	first, _ := os.ReadFile("/proc/1/cmdline")
	argv := strings.Split(string(first), "\x00")
	if len(argv) < 2 || argv[1] != "init" || filepath.Base(argv[0]) != filepath.Base(os.Args[0]) {
		return fmt.Errorf("clean needs its own init as PID 1, found %q", argv[0])
	}
	var left []string
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		// In a container this spares PID 1 and, as everywhere, the caller.
		syscall.Kill(-1, syscall.SIGKILL)
		left = others()
		if len(left) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, dir := range dirs {
		left = append(left, wipe(dir)...)
	}
	if left == nil {
		left = []string{}
	}
	return print(map[string]any{"clean": len(left) == 0, "left": left})
}

// others names the processes that are neither PID 1 nor this one.
func others() []string {
	var left []string
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		if name, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm")); err == nil {
			left = append(left, fmt.Sprintf("process %d %s", pid, strings.TrimSpace(string(name))))
		}
	}
	return left
}

// wipe empties a folder, read-only folders inside it too, and names what it could not take away.
func wipe(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []string{err.Error()}
	}
	var left []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if os.RemoveAll(path) == nil {
			continue
		}
		filepath.WalkDir(path, func(path string, entry os.DirEntry, err error) error {
			if entry != nil && entry.IsDir() && err == nil {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		if err := os.RemoveAll(path); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// seed makes a zig cache that can be written out of one that may only be read. zig opens the manifests
// in h for writing even where nothing changes, so these few kilobytes are copied; artefacts are linked.
func seed(from, to string) error {
	for _, name := range []string{"h", "o", "tmp"} {
		if err := os.MkdirAll(filepath.Join(to, name), 0o777); err != nil {
			return err
		}
	}
	err := each(filepath.Join(from, "h"), func(path, name string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, "h", name), data, 0o666)
	})
	if err != nil {
		return err
	}
	err = each(filepath.Join(from, "o"), func(path, name string) error {
		return os.Symlink(path, filepath.Join(to, "o", name))
	})
	if err != nil {
		return err
	}
	return each(from, func(path, name string) error {
		if name == "h" || name == "o" || name == "tmp" {
			return nil
		}
		return os.Symlink(path, filepath.Join(to, name))
	})
}

// each calls do for the entries of a folder; a folder that is not there has none.
func each(dir string, do func(path, name string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if err := do(filepath.Join(dir, entry.Name()), entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

func print(record any) error { return json.NewEncoder(os.Stdout).Encode(record) }
