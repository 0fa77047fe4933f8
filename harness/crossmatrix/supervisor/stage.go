package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

const (
	stage           = "stage" // the second half of run: what the command becomes by execve
	prSetNoNewPrivs = 38      // linux/prctl.h
	rlimitNproc     = 6       // asm-generic/resource.h
)

// refusal is why the command never ran. Exit 0 means that the machine failed, not the program.
type refusal struct {
	Exit int    `json:"exit"`
	Text string `json:"text"`
}

// start reads its order from descriptor 3, becomes the program, or answers on 4 why it could not.
func start() error {
	runtime.LockOSThread() // mount namespace and prctl belong to this thread, which execs
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	// What the caller ignores would stay ignored in the program; a caught signal is reset by execve.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	var s spec
	order := os.NewFile(3, "order")
	err := json.NewDecoder(order).Decode(&s)
	order.Close()
	if err == nil {
		err = prepare(&s)
	}
	answer := refusal{}
	if err != nil {
		answer.Text = err.Error()
	} else {
		errno := become(&s)
		answer.Exit, answer.Text = 126, errno.Error()
		if errno == syscall.ENOENT {
			answer.Exit = 127
		}
	}
	json.NewEncoder(os.NewFile(4, "answer")).Encode(answer)
	os.Exit(fault)
	return nil
}

// prepare sets walls and limits; an error in here is the machine's.
func prepare(s *spec) error {
	if err := mounts(s.Binds); err != nil {
		return err
	}
	// The kernel is to take the program, not its supervisor, when memory runs out.
	os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	limits := map[int]uint64{syscall.RLIMIT_CORE: 0}
	if s.Fsize > 0 {
		limits[syscall.RLIMIT_FSIZE] = s.Fsize
	}
	if s.Nproc > 0 {
		limits[rlimitNproc] = s.Nproc
	}
	if s.Nofile > 0 {
		limits[syscall.RLIMIT_NOFILE] = s.Nofile
	}
	for resource, value := range limits {
		var old syscall.Rlimit
		if err := syscall.Getrlimit(resource, &old); err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
		if value > old.Max {
			value = old.Max
		}
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
	}
	syscall.Umask(0o022)
	if s.Uid != 0 || s.Gid != 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("setgroups: %w", err)
		}
	}
	if s.Gid != 0 {
		if err := syscall.Setgid(s.Gid); err != nil {
			return fmt.Errorf("setgid %d: %w", s.Gid, err)
		}
	}
	if s.Uid != 0 {
		if err := syscall.Setuid(s.Uid); err != nil {
			return fmt.Errorf("setuid %d: %w", s.Uid, err)
		}
	}
	if err := prctl(prSetNoNewPrivs, 1); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := prctl(syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL)); err != nil {
		return fmt.Errorf("parent death signal: %w", err)
	}
	return nil
}

func prctl(option, value uintptr) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, value, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func mounts(binds []bind) error {
	if len(binds) == 0 {
		return nil
	}
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	for _, b := range binds {
		if err := syscall.Mount(b.From, b.To, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", b.To, err)
		}
		if b.ReadOnly {
			flags := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
			if err := syscall.Mount("", b.To, "", flags|syscall.MS_NOSUID|syscall.MS_NODEV, ""); err != nil {
				return fmt.Errorf("bind %s read-only: %w", b.To, err)
			}
		}
	}
	return nil
}

// become is execvp without its fallback to a shell. It returns only when the program cannot be started.
func become(s *spec) syscall.Errno {
	if err := syscall.Chdir(s.Cwd); s.Cwd != "" && err != nil {
		return err.(syscall.Errno)
	}
	result := syscall.ENOENT
	for _, path := range candidates(s.Argv, s.Env) {
		switch errno := syscall.Exec(path, s.Argv, s.Env).(syscall.Errno); errno {
		case syscall.ENOENT, syscall.ENOTDIR:
		case syscall.EACCES:
			result = errno
		default:
			return errno
		}
	}
	return result
}

// candidates lists where a command may lie: itself where it has a slash, else each folder of PATH.
func candidates(argv, env []string) []string {
	if len(argv) == 0 || argv[0] == "" {
		return nil
	}
	if strings.Contains(argv[0], "/") {
		return argv[:1]
	}
	for _, variable := range env {
		if path, found := strings.CutPrefix(variable, "PATH="); found {
			var found []string
			for _, dir := range strings.Split(path, ":") {
				if dir == "" {
					dir = "."
				}
				found = append(found, dir+"/"+argv[0])
			}
			return found
		}
	}
	return nil
}
