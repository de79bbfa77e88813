package bus

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
)

// Access is how a connection shows who it is, and what it trusts. All of it may
// be empty: then the server must let anyone in.
type Access struct {
	Creds string // file with a user's JWT and seed
	NKey  string // file with a user's seed
	CA    string // PEM file: whose server certificates are trusted
	Cert  string // PEM file: the client's certificate
	Key   string // PEM file: its private key
	Inbox string // prefix of reply subjects; empty: of the user that the file is named after
}

// Check reports everything that is wrong at once.
func (a Access) Check() error {
	var errs []error
	if a.Creds != "" && a.NKey != "" {
		errs = append(errs, errors.New("nats-creds and nats-nkey: give one of them"))
	}
	if (a.Cert == "") != (a.Key == "") {
		errs = append(errs, errors.New("tls-cert and tls-key: give both or none"))
	}
	if strings.ContainsAny(a.Inbox, "*> \t\r\n") || strings.HasSuffix(a.Inbox, ".") {
		errs = append(errs, fmt.Errorf("inbox-prefix %q: give a subject without wildcards, such as _INBOX_billing", a.Inbox))
	}
	return errors.Join(errs...)
}

// Options are the options of a connection.
func (a Access) Options() ([]nats.Option, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	var options []nats.Option
	if a.Creds != "" {
		options = append(options, nats.UserCredentials(a.Creds))
	}
	if a.NKey != "" {
		seed, err := nats.NkeyOptionFromSeed(a.NKey)
		if err != nil {
			return nil, fmt.Errorf("read the user's seed in %s: %w", a.NKey, err)
		}
		options = append(options, seed)
	}
	if a.CA != "" {
		options = append(options, nats.RootCAs(a.CA))
	}
	if a.Cert != "" {
		options = append(options, nats.ClientCert(a.Cert, a.Key))
	}
	if prefix := a.inbox(); prefix != "" {
		options = append(options, nats.CustomInboxPrefix(prefix))
	}
	return options, nil
}

// files reports the files that hold nothing of use. The library reads them only as
// it connects, and then the server would seem to be at fault.
func (a Access) files() error {
	var errs []error
	for _, f := range []struct {
		setting, path string
		option        nats.Option
	}{
		{"nats-creds", a.Creds, nats.UserCredentials(a.Creds)}, {"tls-ca", a.CA, nats.RootCAs(a.CA)}, {"tls-cert", a.Cert, nats.ClientCert(a.Cert, a.Key)},
	} {
		if f.path == "" {
			continue
		}
		var o nats.Options
		err := f.option(&o)
		if err == nil && o.UserJWT != nil {
			_, errUser := o.UserJWT()
			_, errSeed := o.SignatureCB(nil)
			err = errors.Join(errUser, errSeed)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; give another file", f.setting, err))
		}
	}
	return errors.Join(errs...)
}

// inbox is the prefix of reply subjects. outlink nats-config names the files
// after their users, and lets each listen to its own inbox only.
func (a Access) inbox() string {
	file := a.Creds + a.NKey
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	switch {
	case a.Inbox != "" || file == "":
		return a.Inbox
	case name == "" || strings.ContainsAny(name, ".*> \t\r\n"):
		return ""
	}
	return "_INBOX_" + name
}
