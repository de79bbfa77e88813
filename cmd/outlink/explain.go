package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/domain/grant"
	"outlink/internal/queries"
)

func (a *app) grantExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain GRANT", Short: "Say why a grant is in its state, what was tried, and what comes next", Args: one("a grant's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return usage("a grant is named by its id; list them: outlink grant ls LINK")
			}
			var e queries.GrantExplanation
			err = a.with(cmd, func(ctx context.Context, c client.Client) error {
				return c.Query(ctx, "ExplainGrant", queries.ExplainGrant{Grant: id, Freshness: queries.Freshness{Fresh: true}}, &e)
			})
			if err != nil {
				return err
			}
			a.note(e.Staleness)
			if a.output != "table" {
				return a.encode(a.out, e)
			}
			return a.explain(e)
		},
	}
}

// explain prints an explanation as a person reads it, from what is to what can
// be done.
func (a *app) explain(e queries.GrantExplanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Grant %s of link %s (subject %s) is %s.\n%s\n", e.Grant, e.Link, e.Subject, e.Status, e.Advice.Why)
	if e.LinkAdvice != nil {
		fmt.Fprintf(&b, "Its link is %s. %s\n", e.LinkStatus, e.LinkAdvice.Why)
	}
	if e.ExpiresAt != nil {
		fmt.Fprintf(&b, "Its access token, generation %d, ends at %s.\n", e.Generation, when(e.ExpiresAt))
	}
	if e.Fallback {
		b.WriteString("One more refresh token is kept, of an answer that came late.\n")
	}
	if len(e.Tries) > 0 {
		b.WriteString("\nAttempts, the last at the end:\n")
	}
	for _, t := range e.Tries {
		fmt.Fprintf(&b, "  %s  %-8s %s\n", t.StartedAt.Format(time.RFC3339), took(t), tryWords(t))
	}
	fmt.Fprintf(&b, "\nNext: %s", e.Next.What)
	if e.Next.At != nil {
		fmt.Fprintf(&b, ", at %s", when(e.Next.At))
	}
	b.WriteString(".\n")
	for _, fix := range fixes(e) {
		fmt.Fprintf(&b, "You can: %s\n", fix)
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func fixes(e queries.GrantExplanation) []string {
	var all []string
	if e.LinkAdvice != nil && e.LinkAdvice.Fix != "" {
		all = append(all, e.LinkAdvice.Fix)
	}
	if e.Advice.Fix != "" {
		all = append(all, e.Advice.Fix)
	}
	return all
}

func took(t grant.Try) string {
	if t.EndedAt.IsZero() {
		return "open"
	}
	return t.EndedAt.Sub(t.StartedAt).Round(time.Millisecond).String()
}

func tryWords(t grant.Try) string {
	words := []string{strings.ReplaceAll(string(t.Outcome), "_", " ")}
	if t.Late {
		words = append(words, "late")
	}
	if t.Reason != "" {
		words = append(words, t.Reason)
	}
	if t.ProviderCode != "" {
		words = append(words, t.ProviderCode)
	}
	if t.HTTPStatus != 0 {
		words = append(words, fmt.Sprintf("status %d", t.HTTPStatus))
	}
	if t.Problem != "" {
		words = append(words, t.Problem)
	}
	if t.Unknown > 0 {
		words = append(words, fmt.Sprintf("%d of %d requests without an answer", t.Unknown, t.Requests))
	}
	if t.TakeoverOf != uuid.Nil {
		words = append(words, "taken over from "+t.TakeoverOf.String())
	}
	return strings.Join(words, ", ") + ", by node " + t.Node
}
