package natsconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator returns the part of a server's configuration for operator mode: the
// operator's JWT and its accounts'. A user proves who it is with the credentials
// in its file.
//
// Permissions are in the accounts, as the scope of the key that signs a user: in
// the user's own JWT they would be too long for the protocol's control line, and
// a change would need new credentials.
func (i Installation) Operator(before []File) (config string, secrets []File, err error) {
	if err := i.Check(); err != nil {
		return "", nil, err
	}
	ring := newRing(before)
	operator, err := ring.pair("key-operator.nk", nkeys.CreateOperator)
	if err != nil {
		return "", nil, err
	}
	accounts, err := i.accounts(ring)
	if err != nil {
		return "", nil, err
	}
	for _, u := range i.users() {
		if err := accounts[u.Account].admit(u, ring); err != nil {
			return "", nil, err
		}
	}
	config, err = preload(operator, accounts, ring)
	return config, ring.files, err
}

type account struct {
	*jwt.AccountClaims
	pair nkeys.KeyPair
}

// accounts are those of the installation, and one for each application.
func (i Installation) accounts(ring *ring) (map[string]account, error) {
	all := map[string]account{}
	for _, name := range append([]string{accountOutlink, accountSystem}, i.Apps...) {
		pair, err := ring.pair("key-account-"+name+".nk", nkeys.CreateAccount)
		if err != nil {
			return nil, err
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, err
		}
		all[name] = account{jwt.NewAccountClaims(public), pair}
		all[name].Name = name
	}
	outlink := all[accountOutlink]
	outlink.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	for _, subject := range imports(i.Namespace) {
		outlink.Exports.Add(&jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Service, TokenReq: true})
		for _, app := range i.Apps {
			token, err := outlink.activate(all[app].Subject, subject)
			if err != nil {
				return nil, err
			}
			all[app].Imports.Add(&jwt.Import{Name: subject, Account: outlink.Subject, Subject: jwt.Subject(subject), Type: jwt.Service, Token: token, Share: true})
		}
	}
	return all, nil
}

// activate allows an account to import a service.
func (a account) activate(importer, subject string) (string, error) {
	c := jwt.NewActivationClaims(importer)
	c.ImportSubject, c.ImportType = jwt.Subject(subject), jwt.Service
	return c.Encode(a.pair)
}

// admit lets a user in, with the key that it has if it was there before.
func (a account) admit(u user, ring *ring) error {
	signer, err := ring.pair("key-signer-"+u.Name+".nk", nkeys.CreateAccount)
	if err != nil {
		return err
	}
	scope := jwt.NewUserScope()
	if scope.Key, err = signer.PublicKey(); err != nil {
		return err
	}
	scope.Role = u.Name
	scope.Template.Pub.Allow.Add(u.Publish...)
	scope.Template.Pub.Deny.Add(u.DenyPublish...)
	scope.Template.Sub.Allow.Add(u.Subscribe...)
	a.SigningKeys.AddScopedSigner(scope)
	creds, err := a.credentials(u.Name, signer, ring.before[u.Name+".creds"])
	if err != nil {
		return fmt.Errorf("credentials of user %s: %w", u.Name, err)
	}
	ring.files = append(ring.files, creds)
	return nil
}

func (a account) credentials(name string, signer nkeys.KeyPair, before []byte) (File, error) {
	pair, err := nkeys.CreateUser()
	if before != nil {
		pair, err = jwt.ParseDecoratedUserNKey(before)
	}
	if err != nil {
		return File{}, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return File{}, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return File{}, err
	}
	c := jwt.NewUserClaims(public)
	c.Name, c.IssuerAccount = name, a.Subject
	c.SetScoped(true)
	token, err := c.Encode(signer)
	if err != nil {
		return File{}, err
	}
	content, err := jwt.FormatUserConfig(token, seed)
	return File{Name: name + ".creds", Content: content}, err
}

// operatorFile keeps the operator's JWT: a server does not take another one in a
// reload, not even with another time in it.
const operatorFile = "operator.jwt"

// identity is the operator's JWT, as it was if that still fits.
func identity(operator nkeys.KeyPair, system string, ring *ring) (string, error) {
	public, err := operator.PublicKey()
	if err != nil {
		return "", err
	}
	token := string(ring.before[operatorFile])
	before, err := jwt.DecodeOperatorClaims(token)
	if err != nil || before.Subject != public || before.SystemAccount != system {
		c := jwt.NewOperatorClaims(public)
		c.Name, c.SystemAccount = "outlink", system
		if token, err = c.Encode(operator); err != nil {
			return "", err
		}
	}
	ring.files = append(ring.files, File{Name: operatorFile, Content: []byte(token + "\n")})
	return token, nil
}

// preload is the server's configuration: all accounts in it, none looked up.
func preload(operator nkeys.KeyPair, accounts map[string]account, ring *ring) (string, error) {
	system := accounts[accountSystem].Subject
	signed, err := identity(operator, system, ring)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Operator and accounts of Outlink, written by outlink nats-config. Include it in\n"+
		"# the server's configuration. There are no secrets in it.\n"+
		"operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n", signed, system)
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		token, err := accounts[name].Encode(operator)
		if err != nil {
			return "", fmt.Errorf("sign account %s: %w", name, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", name, accounts[name].Subject, token)
	}
	b.WriteString("}\n")
	return b.String(), nil
}
