package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/microapi"
)

func (a *app) readerCommands() *cobra.Command {
	c := &cobra.Command{Use: "reader", Short: "Readers of tokens, whose replies are sealed to a key of theirs"}
	c.AddCommand(a.readerRegister(), a.readerList(), a.readerRemove())
	return c
}

// readers gives f the registrations.
func (a *app) readers(cmd *cobra.Command, f func(ctx context.Context, r microapi.Registrations) error) error {
	return a.with(cmd, func(ctx context.Context, c client.Client) error {
		js, err := jetstream.New(c.NC)
		if err != nil {
			return err
		}
		kv, err := js.KeyValue(ctx, bus.Namespace(a.namespace).Readers())
		if err != nil {
			return fmt.Errorf("look up the readers: %w; run: outlink migrate", err)
		}
		return f(ctx, microapi.Registrations{KV: kv})
	})
}

// newReader is what reader register was asked for.
type newReader struct {
	key      string
	generate bool
	seedFile string
	replace  bool
}

func (n newReader) check() error {
	switch {
	case n.generate == (n.key != ""):
		return usage("give --key with the reader's public key, or --generate with --seed-file")
	case n.generate != (n.seedFile != ""):
		return usage("--generate and --seed-file go together: the seed is the reader's, and nobody else keeps it")
	}
	return nil
}

func (a *app) readerRegister() *cobra.Command {
	var n newReader
	c := &cobra.Command{
		Use: "register NAME", Short: "Have the tokens that a reader asks for sealed to its key", Args: one("the name of the reader's user, or of its account"),
		Long: "Registers a reader's public curve key (nkeys xkey). From then on every token that it asks for is sealed to that key, so\n" +
			"that whoever listens in on its inbox reads nothing. Best, the reader makes the pair and gives only the public key;\n" +
			"with --generate it is made here, and the seed goes into a file that only its owner reads.",
		Example: "  outlink reader register billing --key XDCT…\n  outlink reader register billing --generate --seed-file billing.xk",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := n.check(); err != nil {
				return err
			}
			var registered microapi.Registered
			err := a.readers(cmd, func(ctx context.Context, r microapi.Registrations) (err error) {
				if n.generate {
					if n.key, err = a.generate(ctx, r, args[0], n); err != nil {
						return err
					}
				}
				registered, err = r.Register(ctx, args[0], n.key, n.replace)
				return err
			})
			if err != nil {
				return err
			}
			if n.seedFile == "-" { // standard output has the seed
				fmt.Fprintf(a.err, "registered %s: %s, %s\n", registered.Name, registered.CurveKey, registered.Fingerprint)
				return nil
			}
			return a.fields(registered, [2]string{"name", registered.Name}, [2]string{"curve key", registered.CurveKey},
				[2]string{"fingerprint", registered.Fingerprint}, [2]string{"registered", when(&registered.At)})
		},
	}
	f := c.Flags()
	f.StringVar(&n.key, "key", "", `the reader's public curve key, which begins with "X"`)
	f.BoolVar(&n.generate, "generate", false, "make a pair of keys")
	f.StringVar(&n.seedFile, "seed-file", "", "where the seed of a new pair goes: a file that is not there yet, or - for standard output")
	f.BoolVar(&n.replace, "replace", false, "replace the key that the reader has; what is sealed from then on, the old seed does not open")
	return c
}

// generate makes a pair of keys and keeps its seed before the key is used, so that
// no reply is sealed to a key that nobody has.
func (a *app) generate(ctx context.Context, r microapi.Registrations, name string, n newReader) (string, error) {
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return "", err
	}
	if err := r.Check(name, public); err != nil {
		return "", err
	}
	before, err := r.Find(ctx, name)
	if err == nil && before != nil && !n.replace {
		err = microapi.Taken(*before)
	}
	if err != nil {
		return "", err
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", err
	}
	return public, a.keepSeed(n.seedFile, append(seed, '\n'))
}

func (a *app) keepSeed(file string, seed []byte) error {
	if file == "-" {
		_, err := a.out.Write(seed)
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return usage(fmt.Sprintf("--seed-file %s is there already, perhaps with a key that is in use; name another file, or remove it", file))
	}
	return keep(file, seed)
}

func (a *app) readerList() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List the readers whose replies are sealed", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var all []microapi.Registered
		err := a.readers(cmd, func(ctx context.Context, r microapi.Registrations) (err error) {
			all, err = r.List(ctx)
			return err
		})
		if err != nil {
			return err
		}
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.Name, r.CurveKey, r.Fingerprint, when(&r.At)})
		}
		return a.print(all, []string{"name", "curve key", "fingerprint", "registered"}, rows)
	}}
}

func (a *app) readerRemove() *cobra.Command {
	var yes bool
	c := &cobra.Command{Use: "rm NAME", Short: "Have a reader's tokens sent in clear again", Args: one("a reader's name"), RunE: func(cmd *cobra.Command, args []string) error {
		if !yes {
			return domain.Errorf(domain.FailedPrecondition, "without its key, the tokens of reader %s go over the bus in clear; repeat it with --yes", args[0])
		}
		return a.readers(cmd, func(ctx context.Context, r microapi.Registrations) error { return r.Remove(ctx, args[0]) })
	}}
	c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	return c
}
