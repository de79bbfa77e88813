package natsconfig

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/google/uuid"

	"outlink/internal/bus"
)

// Installation is what to configure.
type Installation struct {
	Namespace bus.Namespace
	Apps      []string            // accounts that publish commands, each with one user of its name
	Operators []string            // people who use the command line, beside the user operator
	Readers   map[string][]string // links by reader
}

// user is a user of an account.
type user struct {
	Name    string
	Account string
	permissions
}

// systemUser watches the server.
const systemUser = "sys"

// accounts of the installation itself.
const (
	accountOutlink = "OUTLINK"
	accountSystem  = "SYS"
)

// names are user names: they are part of an inbox's subject.
var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// Check reports everything that is wrong at once.
func (i Installation) Check() error {
	errs := []error{i.Namespace.Check()}
	taken := map[string]bool{systemUser: true}
	for role := range table(i.Namespace, nil) {
		taken[role] = true
	}
	for _, name := range i.callers() {
		if !names.MatchString(name) {
			errs = append(errs, fmt.Errorf("%q is no user's name: use up to 32 lower case letters, digits and dashes, with a letter first", name))
		}
		if taken[name] {
			errs = append(errs, fmt.Errorf("the user's name %q is taken; every user needs its own, for its inbox is named after it", name))
		}
		taken[name] = true
	}
	for name, links := range i.Readers {
		for _, link := range links {
			if id, err := uuid.Parse(link); err != nil || id.String() != link {
				errs = append(errs, fmt.Errorf("reader %s: %q is no link's id", name, link))
			}
		}
	}
	return errors.Join(errs...)
}

// callers are the names of users that the installation adds to the roles.
func (i Installation) callers() []string {
	return slices.Concat(slices.Sorted(maps.Keys(i.Readers)), i.Operators, i.Apps)
}

// users is everyone, each with its own inbox.
func (i Installation) users() []user {
	callers := append(i.callers(), RoleOperator, RoleDashboard, RoleMigrate)
	var all []user
	add := func(name, account string, p permissions) {
		p.Subscribe = append(slices.Clone(p.Subscribe), inbox(name))
		all = append(all, user{name, account, p.sorted()})
	}
	roles := table(i.Namespace, callers)
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		add(role, accountOutlink, roles[role])
	}
	for _, name := range i.Operators {
		add(name, accountOutlink, roles[RoleOperator])
	}
	for _, name := range slices.Sorted(maps.Keys(i.Readers)) {
		add(name, accountOutlink, reader(i.Namespace, i.Readers[name]))
	}
	for _, app := range i.Apps {
		add(app, app, publisher(i.Namespace))
	}
	return append(all, user{Name: systemUser, Account: accountSystem})
}
