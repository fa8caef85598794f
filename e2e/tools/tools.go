// Package tools builds the programs that the end-to-end tests run against: the
// Collector of the module collector, Prometheus with promtool, Alertmanager with
// amtool and pint at the versions that the modules of these names pin, and history,
// which writes data to measure them on.
//
// The programs are kept outside the checkout, under OTELMON_TOOLS_DIR or else
// otelmon-tools in [os.UserCacheDir], in a folder named after everything that
// went into them, so that they are built once and again only after a change.
package tools

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// A module is one folder beside this file and how its programs are built.
type module struct {
	folder string
	args   []string // of go build, the packages last
}

var modules = map[string]module{
	"collector":    {folder: "collector", args: []string{"."}},
	"prometheus":   prometheus,
	"promtool":     prometheus,
	"alertmanager": alertmanager,
	"amtool":       alertmanager,
	"pint":         {folder: "pint", args: []string{"github.com/cloudflare/pint/cmd/pint"}},
	"history":      {folder: "history", args: []string{"."}},
}

// The first tag leaves out every service discovery, those of all clouds among
// them, which take many minutes to compile; the others bring back the ones that
// deploy/prometheus names.
var prometheus = module{
	folder: "prometheus",
	args: []string{
		"-tags=remove_all_sd,enable_dns_sd,enable_kubernetes_sd,enable_moby_sd",
		"github.com/prometheus/prometheus/cmd/prometheus",
		"github.com/prometheus/prometheus/cmd/promtool",
	},
}

var alertmanager = module{
	folder: "alertmanager",
	args: []string{
		"github.com/prometheus/alertmanager/cmd/alertmanager",
		"github.com/prometheus/alertmanager/cmd/amtool",
	},
}

// Binary returns the path of a program: collector, prometheus, promtool,
// alertmanager, amtool, pint or history. The first call after a change builds it,
// which takes minutes; a second process that builds at the same time does no harm.
// E2e is the folder of the module e2e.
func Binary(ctx context.Context, e2e, name string) (string, error) {
	m, ok := modules[name]
	if !ok {
		return "", fmt.Errorf("no tool %q", name)
	}
	source := filepath.Join(e2e, "tools", m.folder)
	key, err := m.key(source)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", source, err)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	built := filepath.Join(cache, m.folder+"-"+key)
	if _, err := os.Stat(built); err != nil {
		if err := m.build(ctx, source, built); err != nil {
			return "", fmt.Errorf("build %s: %w", name, err)
		}
	}
	return filepath.Join(built, name), nil
}

// build builds into a temporary folder and renames it, so that a folder under
// its final name is always complete.
func (m module) build(ctx context.Context, source, built string) error {
	if err := os.MkdirAll(filepath.Dir(built), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(built), ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	args := []string{"build", "-C", source, "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", tmp + string(os.PathSeparator)}
	cmd := exec.CommandContext(ctx, "go", append(args, m.args...)...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	err = os.Rename(tmp, built)
	if _, statErr := os.Stat(built); statErr == nil {
		return nil // ours, or that of another process that was faster
	}
	return err
}

// key names what the programs are made of: the module's files, how they are
// built and with which Go.
func (m module) key(source string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, m.args)
	entries, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(source, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, e.Name())
		_, err = io.Copy(h, f)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:16], nil
}

func cacheDir() (string, error) {
	if dir := os.Getenv("OTELMON_TOOLS_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for tools; set OTELMON_TOOLS_DIR: %w", err)
	}
	return filepath.Join(dir, "otelmon-tools"), nil
}
