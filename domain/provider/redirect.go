package provider

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
)

// CallbackPath is the path below the public URL that a link's redirect URL has,
// before the link's id: one redirect URL a link, so that an answer cannot be
// taken for another link's (RFC 9700 section 4.4.2.2).
const CallbackPath = "/oauth/callback/"

// RedirectURL is where the provider sends the browser back to, to be registered
// there. It is refused when the provider would refuse it.
func (p Provider) RedirectURL(pol Policy, linkID uuid.UUID, c link.Config) (string, error) {
	if c.AuthorizationEndpoint == "" || c.TokenEndpoint == "" {
		return "", domain.Errorf(domain.InvalidArgument,
			"there is no redirect URL yet: give the authorization endpoint and the token endpoint of the %s provider first", p.Key)
	}
	base, problem := parsePublicURL(pol.PublicURL)
	if problem == "" {
		problem = p.redirectProblem(pol, base)
	}
	if problem != "" {
		return "", domain.Errorf(domain.InvalidArgument, "the public URL %s %s", shown(pol.PublicURL), problem)
	}
	return strings.TrimRight(base.String(), "/") + CallbackPath + linkID.String(), nil
}

// parsePublicURL reads the public URL, or says what is wrong with it.
func parsePublicURL(raw string) (*url.URL, string) {
	if raw == "" {
		return nil, "is not configured: set it to the URL under which browsers reach Outlink"
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, "is no absolute HTTPS URL; give one such as https://outlink.example.com"
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "has a user, a query or a fragment; leave that out"
	case strings.Contains(u.Path, "/..") || strings.ContainsAny(u.Path, "*\\"):
		return nil, `has ".." or "*" or "\" in its path; leave that out`
	}
	return u, ""
}

// redirectProblem says why the provider would refuse a redirect URL at that
// place, or "". Google's rules are the strictest and the model.
func (p Provider) redirectProblem(pol Policy, u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	local := loopbackHost(host)
	if u.Scheme == "http" && !local {
		return "is not HTTPS; a redirect URL carries a code, so give the HTTPS URL of your load balancer"
	}
	if local {
		if p.Redirect.LocalhostHTTP {
			return ""
		}
		return "is on this machine, which " + p.Name + " refuses even for development; give a public HTTPS URL, for example of a tunnel"
	}
	for _, refused := range p.Redirect.RefusedHosts {
		if host == refused || strings.HasSuffix(host, "."+refused) {
			return "is below " + refused + ", which " + p.Name + " refuses; give a host name of your own"
		}
	}
	if !p.Redirect.PublicHost {
		return ""
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if kind := privateKind(a.Unmap()); kind != "" {
			return "has the " + kind + " address " + a.String() + ", which " + p.Name + " refuses: " + useLoadBalancer
		}
		return "has a raw IP address, which " + p.Name + " refuses: " + useLoadBalancer
	}
	if numericHost(host) || pol.PublicSuffix == nil || !pol.PublicSuffix(host) {
		return "has the private host name " + shown(host) + ", not one under a public suffix, as " + p.Name + " demands: " + useLoadBalancer
	}
	return ""
}

const useLoadBalancer = "give the external HTTPS URL of your load balancer as public URL, such as https://outlink.example.com"
