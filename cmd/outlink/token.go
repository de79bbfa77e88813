package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outlink/commands/client"
)

func (a *app) tokenCommands() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Access tokens"}
	c.AddCommand(a.tokenGet())
	return c
}

// wanted is the token that the command line asks for.
type wanted struct {
	subject      string
	minTTL       time.Duration
	any          bool // that is valid
	proof, nonce string
	seedFile     string // of the reader's registered key
}

func (a *app) tokenGet() *cobra.Command {
	var w wanted
	c := &cobra.Command{Use: "get LINK", Short: "Print a valid access token of a link", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		if w.minTTL < 0 {
			return usage(fmt.Sprintf("--min-ttl is %s; use 0s to 24h", w.minTTL))
		}
		w.any = w.minTTL == 0 && cmd.Flags().Changed("min-ttl")
		if w.proof != "" && cmd.Flags().Changed("min-ttl") {
			return usage("--dpop and --min-ttl do not go together; leave out --min-ttl")
		}
		var t client.Token
		err := a.with(cmd, func(ctx context.Context, c client.Client) error {
			c, err := a.asReader(ctx, c, w.seedFile)
			if err != nil {
				return err
			}
			id, err := linkID(ctx, c, args[0])
			if err == nil {
				t, err = w.get(ctx, c, id)
			}
			return err
		})
		if err != nil {
			return err
		}
		return a.showToken(t)
	}}
	f := c.Flags()
	f.StringVar(&w.subject, "subject", "", "whose token (default: default)")
	f.DurationVar(&w.minTTL, "min-ttl", 0, "how long the token must live at least; 0s: any that is valid (default: 30s, or less where tokens live shortly)")
	f.StringVar(&w.proof, "dpop", "", "also a proof for this request, such as \"GET https://api.example.com/me\", where tokens are bound to a key (RFC 9449)")
	f.StringVar(&w.seedFile, "reader-seed-file", "", "file with the seed of this reader's registered key, which its replies are sealed to")
	f.StringVar(&w.nonce, "dpop-nonce", "", "the DPoP-Nonce header of the server's last answer")
	return c
}

func (w wanted) get(ctx context.Context, c client.Client, id uuid.UUID) (client.Token, error) {
	switch {
	case w.proof != "":
		method, url, _ := strings.Cut(w.proof, " ")
		return c.BoundToken(ctx, id, w.subject, client.Proof{Method: method, URL: url, Nonce: w.nonce})
	case w.any:
		return c.AnyToken(ctx, id, w.subject)
	}
	return c.Token(ctx, id, w.subject, w.minTTL)
}

// showToken prints the token alone for a pipe, with its proof on a second line.
func (a *app) showToken(t client.Token) error {
	if a.output == "table" && !isTerminal(a.out) {
		lines := t.AccessToken + "\n"
		if t.DPoPProof != "" {
			lines += t.DPoPProof + "\n"
		}
		_, err := io.WriteString(a.out, lines)
		return err
	}
	return a.fields(t, [2]string{"access token", t.AccessToken}, [2]string{"token type", t.TokenType}, [2]string{"expires", when(&t.ExpiresAt)},
		[2]string{"scopes", strings.Join(t.Scopes, " ")}, [2]string{"generation", fmt.Sprint(t.Generation)}, [2]string{"dpop proof", t.DPoPProof})
}

// asReader opens the replies that are sealed to a reader's registered key.
func (a *app) asReader(ctx context.Context, c client.Client, seedFile string) (client.Client, error) {
	if seedFile == "" {
		return c, nil
	}
	seed, err := a.secretFile(ctx, seedFile)
	if err != nil {
		return c, err
	}
	return c.WithReaderSeed(seed)
}
