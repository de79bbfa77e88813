package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

const dockerfile = "deploy/Dockerfile"

func TestDockerfile(t *testing.T) {
	holds(t, dockerfileProblems(t, read(t, dockerfile)))
}

func TestDockerfileBroken(t *testing.T) {
	breaks(t, read(t, dockerfile), []change{
		{"unknown instruction", "EXPOSE", "EXPOSED", "unknown instruction: EXPOSED"},
		{"shell form in an image without a shell", `ENTRYPOINT ["/outlink"]`, "ENTRYPOINT /outlink", "JSONArgsRecommended"},
		{"casing", " AS build", " as build", "FromAsCasing"},
		{"a secret", "EXPOSE", "ENV OUTLINK_TOKEN=x\nEXPOSE", "SecretsUsedInArgOrEnv"},
		{"a stage that is not there", "--from=build", "--from=builds", "no stage is named builds"},
		{"root", "USER 65532:65532", "USER 0:0", "runs as root"},
		{"no user", "USER 65532:65532", "", "runs as root"},
		{"cgo", "CGO_ENABLED=0 ", "", "CGO_ENABLED=0"},
		{"old Go", "golang:1.26", "golang:1.25", "go.mod asks for"},
		{"no such subcommand", `CMD ["serve"]`, `CMD ["server"]`, "unknown command"},
		{"no such flag", `"healthcheck"]`, `"healthcheck", "--deep"]`, "unknown flag: --deep"},
		{"another binary", `ENTRYPOINT ["/outlink"]`, `ENTRYPOINT ["/outlinkd"]`, "is not what the build stage makes"},
	}, dockerfileProblems)
}

// dockerfileProblems are those of the text alone, and of the binary that it
// starts.
func dockerfileProblems(t *testing.T, text string) []error {
	t.Helper()
	problems := lint(t, text)
	stages, err := stagesOf(text)
	if err != nil {
		return append(problems, err)
	}
	names := map[string]bool{}
	var user string
	for _, s := range stages {
		names[s.Name] = true
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.CopyCommand:
				if c.From != "" && !names[c.From] {
					problems = append(problems, fmt.Errorf("%s: no stage is named %s", c, c.From))
				}
			case *instructions.UserCommand:
				user = c.User
			}
		}
	}
	if user == "" || user == "0" || user == "root" || strings.HasPrefix(user, "0:") || strings.HasPrefix(user, "root:") {
		problems = append(problems, errors.New("the image runs as root"))
	}
	problems = append(problems, toolchain(t, stages[0]))
	if build, err := buildCommand(stages); err != nil {
		problems = append(problems, err)
	} else {
		problems = append(problems, starts(t, build.output, stages[len(stages)-1])...)
	}
	return problems
}

// lint is what BuildKit says of the Dockerfile before it builds anything.
func lint(t *testing.T, text string) (problems []error) {
	t.Helper()
	state := llb.Scratch()
	def, err := state.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	source := llb.NewSourceMap(&state, dockerfile, "Dockerfile", []byte(text))
	source.Definition = def
	results, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(text), dockerfile2llb.ConvertOpt{SourceMap: source, MetaResolver: noRegistry{}})
	if err != nil {
		t.Fatal(err)
	}
	if results.Error != nil {
		problems = append(problems, fmt.Errorf("%s: %s", dockerfile, results.Error.Message))
	}
	for _, w := range results.Warnings {
		problems = append(problems, fmt.Errorf("%s:%d: %s: %s", dockerfile, line(w.Location), w.RuleName, w.Detail))
	}
	return problems
}

func line(l *pb.Location) int32 {
	if len(l.GetRanges()) == 0 {
		return 0
	}
	return l.Ranges[0].GetStart().GetLine()
}

// noRegistry knows of every image that it is there, and nothing else.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers"}}`)
	return ref, digest.FromBytes(config), config, nil
}

func stagesOf(text string) ([]instructions.Stage, error) {
	file, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(file.AST, linter.New(&linter.Config{SkipAll: true}))
	if err == nil && len(stages) == 0 {
		err = errors.New("there is no stage")
	}
	return stages, err
}

// toolchain says whether the build image has the Go that go.mod asks for: an
// image may not fetch another one while it builds.
func toolchain(t *testing.T, build instructions.Stage) error {
	t.Helper()
	var mod struct{ Go string }
	if err := json.Unmarshal(goCommand(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	_, tag, _ := strings.Cut(build.BaseName, ":")
	if have := "go" + tag; version.Compare(have, version.Lang("go"+mod.Go)) < 0 {
		return fmt.Errorf("%s has %s, and go.mod asks for %s", build.BaseName, have, mod.Go)
	}
	return nil
}

// build is the command that makes the binary, and where it leaves it.
type build struct{ command, output string }

func buildCommand(stages []instructions.Stage) (build, error) {
	for _, s := range stages {
		for _, c := range s.Commands {
			run, ok := c.(*instructions.RunCommand)
			if !ok || !strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
				continue
			}
			b := build{command: strings.Join(run.CmdLine, " ")}
			if !strings.HasPrefix(b.command, "CGO_ENABLED=0 ") {
				return b, errors.New("the binary is not built with CGO_ENABLED=0, and the image has no C library")
			}
			words := strings.Fields(b.command)
			for i, w := range words {
				if w == "-o" && i+1 < len(words) {
					b.output = words[i+1]
				}
			}
			return b, nil
		}
	}
	return build{}, errors.New("no stage runs go build")
}

// starts runs what the image starts, with --help in place of the work.
func starts(t *testing.T, output string, image instructions.Stage) (problems []error) {
	t.Helper()
	var entry, cmd []string
	for _, c := range image.Commands {
		switch c := c.(type) {
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.CmdCommand:
			cmd = c.CmdLine
		case *instructions.HealthCheckCommand:
			if len(c.Health.Test) < 2 || c.Health.Test[0] != "CMD" || c.Health.Test[1] != output {
				problems = append(problems, fmt.Errorf("HEALTHCHECK %q does not run %s", c.Health.Test, output))
				continue
			}
			problems = append(problems, understood(t, c.Health.Test[2:]))
		}
	}
	if len(entry) != 1 || entry[0] != output {
		return append(problems, fmt.Errorf("ENTRYPOINT %q is not what the build stage makes, %s", entry, output))
	}
	return append(problems, understood(t, cmd))
}
