package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "docker-compose.yml"

func TestCompose(t *testing.T) {
	holds(t, composeProblems(t, read(t, composeFile)))
}

func TestComposeBroken(t *testing.T) {
	breaks(t, read(t, composeFile), []change{
		{"unknown key", "depends_on:", "depnds_on:", "depnds_on"},
		{"unknown dependency", "migrate: {condition", "migrated: {condition", `undefined service "migrated"`},
		{"unknown volume", "cockroach:/cockroach/", "roach:/cockroach/", "undefined volume roach"},
		{"not loaded", "  nats:\n    image", "  broker:\n    image", "undefined service"},
		{"a file that is not there", "./deploy/nats/nats.conf:", "./deploy/nats/jetstream.conf:", "jetstream.conf"},
		{"a Dockerfile that is not there", "dockerfile: deploy/Dockerfile", "dockerfile: Dockerfile", "Dockerfile: no such file"},
		{"unknown subcommand", `command: ["migrate"]`, `command: ["migrations"]`, `unknown command "migrations"`},
		{"unknown variable", "OUTLINK_KEK_FILE", "OUTLINK_KEY_FILE", "OUTLINK_KEY_FILE is no flag"},
		{"unknown server", "nats://nats:4222", "nats://broker:4222", "no service is named broker"},
		{"unknown database", "@cockroachdb:26257", "@postgres:26257", "no service is named postgres"},
		{"healthy without a health check", "healthcheck:\n      test: [\"CMD\", \"curl\"", "x-healthcheck:\n      test: [\"CMD\", \"curl\"", "cockroachdb has no health check"},
		{"completes and is started again", "    command: [\"migrate\"]", "    command: [\"migrate\"]\n    restart: always", "migrate never completes"},
		{"does not wait for the tables", "migrate: {condition: service_completed_successfully}", "migrate: {condition: service_started}", "outlink does not wait until migrate has completed"},
		{"does not wait for the database", "      cockroachdb: {condition: service_healthy}\n", "", "migrate does not wait until cockroachdb is healthy"},
		{"the world can reach it", "127.0.0.1:8480:8480", "8480:8480", "outlink publishes 8480 on every address"},
		{"another port", "0.0.0.0:8480", "0.0.0.0:8481", "outlink listens on 8481"},
		{"keys in the container", "OUTLINK_KEK_FILE: /keys/", "OUTLINK_KEK_FILE: /", "OUTLINK_KEK_FILE /kek.json is on no volume"},
		{"a journal in the container", "OUTLINK_JOURNAL: /journal", "OUTLINK_JOURNAL: /tmp/journal", "OUTLINK_JOURNAL /tmp/journal is on no volume"},
		{"no journal", "      OUTLINK_JOURNAL: /journal\n", "", "OUTLINK_JOURNAL is not set"},
		{"a journal that cannot be written", "journal:/journal\"]\n    ports", "journal:/journal:ro\"]\n    ports", "cannot be written"},
		{"the store in the container", "nats:/data", "nats:/var/data", "nats keeps /data on no volume"},
		{"another server than tested", "nats:2.15.3-alpine", "nats:2.14.0-alpine", "go.mod has"},
		{"a moving image", "busybox:1.37", "busybox:latest", "is not pinned"},
	}, composeProblems)
}

func composeProblems(t *testing.T, text string) []error {
	t.Helper()
	project, err := load(t.Context(), text)
	if err != nil {
		return []error{err}
	}
	problems := images(t, project)
	for _, s := range project.Services {
		problems = append(problems, filesOf(s)...)
		problems = append(problems, portsOf(s)...)
		problems = append(problems, waitsOf(s, project)...)
	}
	for _, name := range []string{"nats", "cockroachdb", "migrate", "outlink"} {
		if _, err := project.GetService(name); err != nil {
			return append(problems, err)
		}
	}
	return append(problems, installation(t, project)...)
}

func load(ctx context.Context, text string) (*types.Project, error) {
	top, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  top,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(top, composeFile), Content: []byte(text)}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("outlink", true) })
}

// filesOf says which files a service refers to and the repository does not have.
func filesOf(s types.ServiceConfig) (problems []error) {
	stat := func(name string) {
		if _, err := os.Stat(name); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	if s.Build != nil {
		stat(filepath.Join(s.Build.Context, s.Build.Dockerfile))
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			stat(v.Source)
		}
	}
	return problems
}

// portsOf says which ports are published to more than this machine.
func portsOf(s types.ServiceConfig) (problems []error) {
	for _, p := range s.Ports {
		if ip := net.ParseIP(p.HostIP); ip == nil {
			problems = append(problems, fmt.Errorf("%s publishes %s on every address", s.Name, p.Published))
		} else if !ip.IsLoopback() {
			problems = append(problems, fmt.Errorf("%s publishes %s on %s", s.Name, p.Published, ip))
		}
	}
	return problems
}

// waitsOf says which conditions of depends_on cannot come about.
func waitsOf(s types.ServiceConfig, project *types.Project) (problems []error) {
	for name, d := range s.DependsOn {
		other := project.Services[name]
		switch d.Condition {
		case types.ServiceConditionHealthy:
			// The image of a service that is built here brings its own.
			if other.Build == nil && (other.HealthCheck == nil || other.HealthCheck.Disable) {
				problems = append(problems, fmt.Errorf("%s waits for health, and %s has no health check", s.Name, name))
			}
		case types.ServiceConditionCompletedSuccessfully:
			if other.Restart != "" && other.Restart != types.RestartPolicyNo && !strings.HasPrefix(other.Restart, types.RestartPolicyOnFailure) {
				problems = append(problems, fmt.Errorf("%s waits for the end, and %s never completes: restart is %s", s.Name, name, other.Restart))
			}
		}
	}
	return problems
}

// images says which images would be another one tomorrow. The NATS server is
// the one that the tests run with.
func images(t *testing.T, project *types.Project) (problems []error) {
	t.Helper()
	for _, s := range project.Services {
		name, tag, _ := strings.Cut(s.Image, ":")
		if s.Build == nil && !regexp.MustCompile(`^v?\d+\.\d+`).MatchString(tag) {
			problems = append(problems, fmt.Errorf("%s: image %q is not pinned to a version", s.Name, s.Image))
		}
		if v := required(t, "github.com/nats-io/nats-server/v2"); name == "nats" && "v"+strings.TrimSuffix(tag, "-alpine") != v {
			problems = append(problems, fmt.Errorf("%s: image %q, and go.mod has nats-server %s", s.Name, s.Image, v))
		}
	}
	return problems
}

// required is the version of a module that the root module has.
func required(t *testing.T, module string) string {
	t.Helper()
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(goCommand(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Path == module {
			return r.Version
		}
	}
	t.Fatalf("go.mod does not require %s", module)
	return ""
}

// installation checks what ties the services to each other and to the binary.
func installation(t *testing.T, project *types.Project) (problems []error) {
	t.Helper()
	migrate, serve, nats := project.Services["migrate"], project.Services["outlink"], project.Services["nats"]
	for _, s := range project.Services {
		if s.Build != nil {
			problems = append(problems, settingsOf(t, s, project)...)
		}
	}
	waits := func(s types.ServiceConfig, on, condition, text string) {
		if s.DependsOn[on].Condition != condition {
			problems = append(problems, fmt.Errorf("%s does not wait until %s %s", s.Name, on, text))
		}
	}
	waits(migrate, "nats", types.ServiceConditionHealthy, "is healthy")
	waits(migrate, "cockroachdb", types.ServiceConditionHealthy, "is healthy")
	waits(serve, "migrate", types.ServiceConditionCompletedSuccessfully, "has completed")
	problems = append(problems, listens(serve), journals(serve))

	opts, err := natsOptions(t, read(t, natsConf))
	if err != nil {
		return append(problems, err)
	}
	if _, ok := volumeOf(nats, opts.StoreDir); !ok {
		problems = append(problems, fmt.Errorf("nats keeps %s on no volume", opts.StoreDir))
	}
	if monitor := fmt.Sprintf(":%d/healthz", opts.HTTPPort); !strings.Contains(strings.Join(nats.HealthCheck.Test, " "), monitor) {
		problems = append(problems, fmt.Errorf("nats: the health check does not ask %s", monitor))
	}
	return problems
}

// settingsOf compares the environment of a service with the flags of the
// subcommand that it runs. A variable that is no flag is not an error to the
// binary: it is silently without effect.
func settingsOf(t *testing.T, s types.ServiceConfig, project *types.Project) (problems []error) {
	t.Helper()
	text, err := help(t, s.Command...)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", s.Name, err)}
	}
	variables := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(text, -1) {
		variables["OUTLINK_"+strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		value := s.Environment[name]
		switch {
		case !variables[name]:
			problems = append(problems, fmt.Errorf("%s: %s is no flag of outlink %s", s.Name, name, s.Command[0]))
		case value == nil:
			problems = append(problems, fmt.Errorf("%s: %s has no value", s.Name, name))
		case name == "OUTLINK_SERVER", name == "OUTLINK_DATABASE":
			u, err := url.Parse(*value)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %s: %w", s.Name, name, err))
			} else if _, err := project.GetService(u.Hostname()); err != nil {
				problems = append(problems, fmt.Errorf("%s: %s: no service is named %s", s.Name, name, u.Hostname()))
			}
		case name == "OUTLINK_KEK_FILE", name == "OUTLINK_JOURNAL":
			if _, ok := volumeOf(s, *value); !ok {
				problems = append(problems, fmt.Errorf("%s: %s %s is on no volume, and is lost with the container", s.Name, name, *value))
			}
		}
	}
	return problems
}

// volumeOf finds the named volume that a path in a container lies on.
func volumeOf(s types.ServiceConfig, name string) (types.ServiceVolumeConfig, bool) {
	for dir := path.Clean(name); ; dir = path.Dir(dir) {
		for _, v := range s.Volumes {
			if path.Clean(v.Target) == dir {
				return v, v.Type == types.VolumeTypeVolume
			}
		}
		if dir == "/" || dir == "." {
			return types.ServiceVolumeConfig{}, false
		}
	}
}

// listens says whether what is published is what the node listens on.
func listens(s types.ServiceConfig) error {
	_, port, err := net.SplitHostPort(setting(s, "OUTLINK_HTTP"))
	if err != nil {
		return fmt.Errorf("%s: OUTLINK_HTTP: %w", s.Name, err)
	}
	for _, p := range s.Ports {
		if fmt.Sprint(p.Target) != port {
			return fmt.Errorf("%s listens on %s and publishes %d", s.Name, port, p.Target)
		}
		if u, err := url.Parse(setting(s, "OUTLINK_PUBLIC_URL")); err != nil || u.Port() != p.Published {
			return fmt.Errorf("%s publishes %s, and OUTLINK_PUBLIC_URL is %s", s.Name, p.Published, u)
		}
	}
	return nil
}

// journals says whether the node keeps the answers of providers past its container.
func journals(serve types.ServiceConfig) error {
	dir := setting(serve, "OUTLINK_JOURNAL")
	if dir == "" {
		return errors.New("outlink: OUTLINK_JOURNAL is not set, so the journal is lost with the container")
	}
	if v, ok := volumeOf(serve, dir); ok && v.ReadOnly {
		return fmt.Errorf("outlink: OUTLINK_JOURNAL %s cannot be written", dir)
	}
	return nil
}

func setting(s types.ServiceConfig, name string) string {
	if v := s.Environment[name]; v != nil {
		return *v
	}
	return ""
}
