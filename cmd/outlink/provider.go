package main

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outlink/commands/client"
	"outlink/internal/queries"
)

func (a *app) providerCommands() *cobra.Command {
	c := &cobra.Command{Use: "provider", Short: "The catalogue of OAuth providers"}
	c.AddCommand(a.providerList(), a.providerShow(), a.providerRedirectURL())
	return c
}

func (a *app) providers(cmd *cobra.Command) (list queries.ProviderList, err error) {
	err = a.with(cmd, func(ctx context.Context, c client.Client) error {
		return c.Query(ctx, "ListProviders", nil, &list)
	})
	return list, err
}

func (a *app) providerList() *cobra.Command {
	return &cobra.Command{Use: "ls", Short: "List the providers", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		list, err := a.providers(cmd)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, p := range list.Providers {
			rows = append(rows, []string{p.Key, p.Name, string(p.Rotation.Kind), p.TokenEndpoint})
		}
		return a.print(list.Providers, []string{"key", "name", "rotation", "token endpoint"}, rows)
	}}
}

func (a *app) providerShow() *cobra.Command {
	return &cobra.Command{Use: "show PROVIDER", Short: "Show a provider", Args: one("a provider's key"), RunE: func(cmd *cobra.Command, args []string) error {
		list, err := a.providers(cmd)
		if err != nil {
			return err
		}
		for _, p := range list.Providers {
			if p.Key == args[0] {
				return a.fields(p, [2]string{"key", p.Key}, [2]string{"name", p.Name},
					[2]string{"authorization endpoint", p.AuthorizationEndpoint}, [2]string{"token endpoint", p.TokenEndpoint},
					[2]string{"required scopes", strings.Join(p.RequiredScopes, " ")}, [2]string{"rotation", string(p.Rotation.Kind)},
					[2]string{"source", p.Source}, [2]string{"verified", p.Verified})
			}
		}
		return usage("there is no provider " + args[0] + "; list them: outlink provider ls")
	}}
}

func (a *app) providerRedirectURL() *cobra.Command {
	var q queries.RedirectURL
	var id string
	c := &cobra.Command{
		Use: "redirect-url", Short: "Print the redirect URL that a link would get", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id != "" {
				parsed, err := uuid.Parse(id)
				if err != nil {
					return usage("--id must be a UUID")
				}
				q.Link = parsed
			}
			var answer queries.RedirectURLAnswer
			err := a.with(cmd, func(ctx context.Context, c client.Client) error { return c.Query(ctx, "RedirectURL", q, &answer) })
			if err != nil {
				return err
			}
			return a.fields(answer, [2]string{"redirect url", answer.RedirectURL}, [2]string{"link id", answer.Link.String()})
		},
	}
	f := c.Flags()
	f.StringVar(&q.Provider, "provider", "custom", "the provider's key")
	f.StringVar(&q.AuthorizationEndpoint, "authorization-endpoint", "", "the authorization endpoint (custom)")
	f.StringVar(&q.TokenEndpoint, "token-endpoint", "", "the token endpoint (custom)")
	f.StringVar(&id, "id", "", "the link's id; give the same to link create")
	return c
}
