package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/node"
)

// app is what the subcommands share.
type app struct {
	getenv func(string) string
	in     io.Reader
	out    io.Writer // data
	err    io.Writer // all else
	stop   context.CancelCauseFunc

	server    string
	access    bus.Access
	namespace string
	output    string
	actor     string
	kek       string
	timeout   time.Duration
}

// run is the whole program; tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &app{getenv: getenv, in: in, out: out, err: errOut}
	ctx, a.stop = context.WithCancelCause(ctx)
	defer a.stop(nil)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	root.InitDefaultCompletionCmd() // it keeps where it prints to
	strictHelp(root)
	strict(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var denied *domain.Error
	if errors.As(context.Cause(ctx), &denied) {
		err = denied
	}
	return a.fail(err)
}

// errUsage marks errors of the command line itself.
var errUsage = errors.New("usage")

// errDiffers marks the outcome of a comparison, not a failure.
var errDiffers = errors.New("verification failed")

// fail prints an error and says with which code to exit.
func (a *app) fail(err error) int {
	var known *domain.Error
	switch {
	case errors.As(err, &known):
		fmt.Fprintf(a.err, "outlink: %s\n", known.Message)
		if a.output == "json" || a.output == "jsonl" {
			_ = a.encode(a.err, known)
		}
		return known.Code.Exit()
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.err, "outlink: interrupted")
		return 130
	case errors.Is(err, errUsage):
		fmt.Fprintf(a.err, "outlink: %s\n", strings.TrimSuffix(err.Error(), ": usage"))
		return 2
	case errors.Is(err, errDiffers):
		fmt.Fprintf(a.err, "outlink: %v\n", err)
		return 1
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(a.err, "outlink: %v\n", err)
		return 5
	}
	fmt.Fprintf(a.err, "outlink: %v\n", err)
	return 3
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "outlink", Short: "Keeps an organisation's outgoing OAuth 2.0 links alive",
		SilenceUsage: true, SilenceErrors: true, Version: node.Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.environment(cmd) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err.Error()) })
	f := root.PersistentFlags()
	f.StringVar(&a.server, "server", "nats://127.0.0.1:4222", "URL of the NATS server")
	f.StringVar(&a.access.Creds, "nats-creds", "", "file with this user's credentials for NATS")
	f.StringVar(&a.access.NKey, "nats-nkey", "", "file with this user's nkey seed for NATS")
	f.StringVar(&a.access.CA, "tls-ca", "", "PEM file of the authority that signed the NATS server's certificate")
	f.StringVar(&a.access.Cert, "tls-cert", "", "PEM file of the client certificate for NATS")
	f.StringVar(&a.access.Key, "tls-key", "", "PEM file of the client certificate's key")
	f.StringVar(&a.access.Inbox, "inbox-prefix", "", "prefix of reply subjects (default: _INBOX_ and the name of the creds or nkey file)")
	f.StringVar(&a.namespace, "namespace", string(bus.DefaultNamespace), "namespace of the installation")
	f.StringVarP(&a.output, "output", "o", "table", "table, json or jsonl")
	f.StringVar(&a.actor, "actor", "", "who you are, for the event log (default: the user's name)")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
	root.AddCommand(a.dev(), a.serve(), a.migrate(), a.natsConfig(), a.healthcheck(), a.version(),
		a.providerCommands(), a.linkCommands(), a.grantCommands(), a.tokenCommands(), a.eventCommands(), a.projectionCommands(), a.deadCommands(), a.readerCommands(), a.schemaCommands())
	return root
}

// strict makes what the library would let pass, or answer with help on standard
// output, an error of usage: an unknown subcommand, none, or an argument too many.
func strict(c *cobra.Command) {
	if args := c.Args; c.Runnable() && args != nil {
		c.Args = func(c *cobra.Command, given []string) error {
			err := args(c, given)
			if err == nil || errors.Is(err, errUsage) {
				return err
			}
			return usage(fmt.Sprintf("%s takes no such arguments: %q; see: %s --help", c.CommandPath(), given, c.CommandPath()))
		}
	}
	if !c.Runnable() {
		c.Args, c.RunE = cobra.ArbitraryArgs, needsSubcommand
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// strictHelp is strict for help, which would answer with the help of what it found on
// the way.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	help.Args = func(_ *cobra.Command, args []string) error {
		found, rest, err := root.Find(args)
		if err == nil && len(rest) > 0 {
			err = needsSubcommand(found, rest)
		}
		return err
	}
}

func needsSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		_, _ = io.WriteString(c.ErrOrStderr(), c.UsageString()+"\n")
		return usage("give " + c.CommandPath() + " a command")
	}
	c.SuggestionsMinimumDistance = 2
	message := fmt.Sprintf("unknown command %q for %s", args[0], c.CommandPath())
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		message += "; is it " + strings.Join(like, " or ") + "?"
	}
	return usage(message + "; see: " + c.CommandPath() + " --help")
}

// environment gives every flag that was not set the value of its variable:
// --kek-file is OUTLINK_KEK_FILE.
func (a *app) environment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "OUTLINK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := a.getenv(name); v != "" && !f.Changed {
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				errs = append(errs, usage(fmt.Sprintf("%s: %v", name, err)))
			}
		}
	})
	if a.output != "table" && a.output != "json" && a.output != "jsonl" {
		errs = append(errs, usage(fmt.Sprintf("--output %q: use table, json or jsonl", a.output)))
	}
	if a.timeout <= 0 {
		errs = append(errs, usage(fmt.Sprintf("--timeout %s: give a time to wait, such as 30s", a.timeout)))
	}
	if a.actor == "" {
		a.actor = a.user()
	}
	return errors.Join(errs...)
}

// user is who runs the program, if that is known.
func (a *app) user() string {
	name := a.getenv("USER")
	if me, err := user.Current(); name == "" && err == nil {
		name = me.Username
	}
	if name == "" {
		return ""
	}
	return "user:" + name
}

func usage(message string) error { return fmt.Errorf("%s: %w", message, errUsage) }

// number is a flag that takes a number from 1 on.
type number[N int | uint64] struct{ n *N }

// fromOne gives the number what it is when the flag is not given.
func fromOne[N int | uint64](n *N, unless N) number[N] {
	*n = unless
	return number[N]{n}
}

func (v number[N]) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 32) // there is room to count one further
	if err != nil || n < 1 {
		return fmt.Errorf("give a number from 1 on, at most %d", math.MaxInt32)
	}
	*v.n = N(n)
	return nil
}

func (v number[N]) String() string {
	if v.n == nil { // the library asks a zero one
		return "0"
	}
	return fmt.Sprint(*v.n)
}

// Type is what help shows.
func (number[N]) Type() string { return "int" }

// one is cobra.ExactArgs(1) with an error of ours.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(fmt.Sprintf("%s takes %s; see: %s --help", cmd.CommandPath(), what, cmd.CommandPath()))
		}
		return nil
	}
}

func (a *app) connect() (*nats.Conn, error) {
	nc, err := bus.Connect(a.server, a.access, nats.Name("outlink command line"), nats.Timeout(5*time.Second), nats.ErrorHandler(a.refused))
	if err != nil {
		return nil, fmt.Errorf("%w; give --server or OUTLINK_SERVER", err)
	}
	return nc, nil
}

// refused ends a command that the server does not allow something: its answer would
// never come.
func (a *app) refused(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		a.stop(domain.Errorf(domain.PermissionDenied, "NATS refuses this user something that the command needs: %v; take another user", err))
	}
}

// with connects, and gives f a client and a context with the time limit.
func (a *app) with(cmd *cobra.Command, f func(ctx context.Context, c client.Client) error) error {
	return a.connected(cmd, func(ctx context.Context, c client.Client) error {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return f(ctx, c)
	})
}

// connected is with for what asks many times: each request has a time limit of the
// client's own.
func (a *app) connected(cmd *cobra.Command, f func(ctx context.Context, c client.Client) error) error {
	nc, err := a.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	return f(cmd.Context(), client.New(nc, a.namespace))
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.out, node.Version)
		return err
	}}
}
