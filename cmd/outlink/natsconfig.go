package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"outlink/internal/bus"
	"outlink/internal/natsconfig"
)

func (a *app) natsConfig() *cobra.Command {
	var apps, operators, readers []string
	var out string
	var operator bool
	c := &cobra.Command{
		Use: "nats-config --out DIR", Short: "Print a configuration of NATS that lets nobody in where they don't belong",
		Long: `Prints accounts and users by role for the server's configuration, and writes a
file for each user into --out: what it needs to prove who it is. Run again with
the same directory, it keeps the keys that are there.`,
		Example: "  outlink nats-config --out users --app crm --reader billing=0192f0c1-0000-7000-8000-000000000001 > users.conf",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return usage("--out: give a directory for the users' files")
			}
			i := natsconfig.Installation{Namespace: bus.Namespace(a.namespace), Apps: apps, Operators: operators, Readers: map[string][]string{}}
			for _, r := range readers {
				name, links, ok := strings.Cut(r, "=")
				if !ok {
					return usage(fmt.Sprintf("--reader %q: write it as NAME=LINK,LINK", r))
				}
				i.Readers[name] = append(i.Readers[name], strings.Split(links, ",")...)
			}
			if err := i.Check(); err != nil {
				return usage(err.Error())
			}
			return a.writeNATSConfig(i, out, operator)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&apps, "app", nil, "account of an application that publishes commands; repeat it for more")
	f.StringArrayVar(&operators, "operator", nil, "person who uses the command line; repeat it for more")
	f.StringArrayVar(&readers, "reader", nil, "user that may fetch the tokens of some links: NAME=LINK,LINK; repeat it for more")
	f.StringVar(&out, "out", "", "directory for the users' files, each with mode 0600")
	f.BoolVar(&operator, "jwt", false, "for operator mode: accounts and users as signed JWTs")
	return c
}

func (a *app) writeNATSConfig(i natsconfig.Installation, out string, operator bool) error {
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	before, err := keyFiles(out)
	if err != nil {
		return err
	}
	write := natsconfig.Installation.NKeys
	if operator {
		write = natsconfig.Installation.Operator
	}
	config, secrets, err := write(i, before)
	if err != nil {
		return err
	}
	for _, s := range secrets {
		if err := keep(filepath.Join(out, s.Name), s.Content); err != nil {
			return err
		}
	}
	_, err = io.WriteString(a.out, config)
	return err
}

// keyFiles are the keys that are in a directory already.
func keyFiles(dir string) ([]natsconfig.File, error) {
	var files []natsconfig.File
	for _, pattern := range []string{"*.nk", "*.creds", "*.jwt"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			files = append(files, natsconfig.File{Name: filepath.Base(path), Content: content})
		}
	}
	return files, nil
}

// keep writes a secret beside its place and moves it there, so that no moment
// leaves half a key, or one that others can read.
func keep(path string, secret []byte) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}
