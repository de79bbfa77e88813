package contract

import (
	"strings"

	"outlink/internal/bus"
)

// namespace is the one that the document is written for.
const namespace = bus.DefaultNamespace

const asyncAbout = `Commands, queries and tokens are requests to a NATS micro service; durable commands, events and notices are messages of JetStream streams. Every subject begins with the installation's namespace, which is "outlink" here. An error comes as a reply with the header Nats-Service-Error-Code.`

// AsyncAPI is the document of the NATS API, as YAML.
func AsyncAPI(p Prose) ([]byte, error) {
	a := async{generator: newGenerator("#/components/schemas/", p)}
	a.requests()
	for _, c := range Commands() {
		a.submitted(c)
	}
	a.published()
	a.channel("reply", nil, "The inbox that a request names, or the subject in Outlink-Reply-To of a submitted command.", nil, a.replies...)
	return document{
		{"asyncapi", "3.0.0"},
		{"info", append(info("Outlink over NATS", asyncAbout), member{"tags", []document{{{"name", "oauth"}, {"description", "Outgoing OAuth 2.0 links."}}}})},
		{"defaultContentType", "application/json"},
		{"servers", document{{"nats", document{{"host", "127.0.0.1:4222"}, {"protocol", "nats"}, {"description", "The NATS server with JetStream."}}}}},
		{"channels", a.channels},
		{"operations", a.operations},
		{"components", document{{"messages", a.messages}, {"schemas", a.components(inputs())}}},
	}.encode()
}

// async collects the parts of the document.
type async struct {
	generator
	channels, operations, messages document
	replies                        []string // names of the messages that answer
	said                           map[string]bool
}

func ref(to string) document { return document{{"$ref", to}} }

// message declares a message once and returns its name.
func (a *async) message(m Message, means string, headers schema) string {
	name := componentName(m.Type, "")
	if a.said[name] {
		return name
	}
	if a.said == nil {
		a.said = map[string]bool{}
	}
	a.said[name] = true
	d := document{{"name", m.ID}, {"title", name}, {"summary", means}, {"contentType", "application/json"}}
	if headers != nil {
		d = append(d, member{"headers", headers})
	}
	a.messages = append(a.messages, member{name, append(d, member{"payload", a.ref(m)})})
	return name
}

func (a *async) channel(name string, address any, means string, parameters document, messages ...string) {
	var refs document
	for _, m := range messages {
		refs = append(refs, member{m, ref("#/components/messages/" + m)})
	}
	d := document{{"address", address}, {"description", means}}
	if parameters != nil {
		d = append(d, member{"parameters", parameters})
	}
	a.channels = append(a.channels, member{name, append(d, member{"messages", refs})})
}

// operation declares what Outlink does at a channel.
func (a *async) operation(name, action, channel, summary, description string, messages []string, answers ...string) {
	d := document{
		{"action", action}, {"channel", ref("#/channels/" + channel)}, {"summary", summary}, {"description", description},
		{"messages", in(channel, messages)},
	}
	if len(answers) > 0 {
		where := "$message.header#/reply"
		if strings.HasPrefix(channel, "submit") {
			where = "$message.header#/Outlink-Reply-To"
		}
		d = append(d, member{"reply", document{
			{"address", document{{"location", where}}}, {"channel", ref("#/channels/reply")}, {"messages", in("reply", answers)},
		}})
	}
	a.operations = append(a.operations, member{name, d})
}

func in(channel string, messages []string) []document {
	var refs []document
	for _, m := range messages {
		refs = append(refs, ref("#/channels/"+channel+"/messages/"+m))
	}
	return refs
}

// answer declares messages that go to a requester's inbox.
func (a *async) answer(m Message, means string, headers schema) string {
	before := len(a.messages)
	name := a.message(m, means, headers)
	if len(a.messages) > before {
		a.replies = append(a.replies, name)
	}
	return name
}

// requests are what a reply is waited for.
func (a *async) requests() {
	failed := a.answer(Error, "Why a request failed.", headers("Nats-Service-Error-Code", "the error's code", "Nats-Service-Error", "the error's message"))
	outcome := a.answer(Outcome, "What a command did.", nil)
	for _, c := range Commands() {
		name, channel := c.Type.Name(), "command."+c.Type.Name()
		m := a.message(c, a.prose.Type(c.Type), headers("reply", "the inbox for the reply", "traceparent", "W3C trace context", "Outlink-Reply-To", "of a submitted command: where the outcome goes",
			"Outlink-Again", "the command may have been sent before: its effect is looked for in the whole history"))
		a.channel(channel, namespace.Command(name), words(name)+", and wait for the outcome.", nil, m)
		a.operation(channel, "receive", channel, words(name), a.prose.about(c.Type), []string{m}, outcome, failed)
	}
	answers := Answers()
	for i, q := range Questions() {
		name, channel := q.Type.Name(), "query."+q.Type.Name()
		m := a.message(q, a.prose.Type(q.Type), headers("reply", "the inbox for the reply"))
		a.channel(channel, namespace.Query(name), words(name)+".", nil, m)
		a.operation(channel, "receive", channel, words(name), a.prose.Type(q.Type), []string{m},
			a.answer(answers[i], a.prose.Type(answers[i].Type), nil), failed)
	}
	token := a.message(TokenRequest, a.prose.Type(TokenRequest.Type), headers("reply", "the inbox for the reply; its prefix _INBOX_<name>. says who reads"))
	a.channel("token", namespace.Token("{link}"), "Access tokens, a subject for each link, so that permissions are for one link.", document{{"link", document{{"description", "the link's id"}}}}, token)
	a.operation("token", "receive", "token", "Get an access token", a.prose.Type(TokenReply.Type)+" For a reader that has registered a curve key, the reply is sealed to that.",
		[]string{token}, a.answer(TokenReply, "An access token.", nil), a.answer(Sealed, "A reply that is sealed to the reader's curve key.", nil), failed)
	a.messages = append(a.messages, member{"InfoRequest", document{
		{"name", "outlink.info.request"}, {"title", "InfoRequest"}, {"summary", "Nothing but the request itself."}, {"contentType", "application/json"},
		{"headers", headers("reply", "the inbox for the reply")}, {"payload", schema{"description": "It is not looked at."}},
	}})
	a.channel("info", namespace.Info(), "What a client has to know.", nil, "InfoRequest")
	a.operation("info", "receive", "info", "Ask what a client has to know", a.prose.Type(Info.Type), []string{"InfoRequest"}, a.answer(Info, "What a client has to know.", nil))
}

func (a *async) submitted(c Message) {
	name, channel := c.Type.Name(), "submit."+c.Type.Name()
	m := componentName(c.Type, "")
	a.channel(channel, namespace.Submit(name), words(name)+", durably.", nil, m)
	a.operation(channel, "receive", channel, words(name)+", durably",
		"Publish to JetStream: the acknowledgement means that the command is accepted for ever, and not yet read. Secrets must be sealed. A header Outlink-Reply-To asks for the outcome, at an inbox; a refused command is set aside under "+namespace.Dead("command")+".",
		[]string{m}, "Outcome", "Error")
}

// published are what others subscribe to.
func (a *async) published() {
	link, grant := member{"link", document{{"description", "the link's id"}}}, member{"grant", document{{"description", "the grant's id"}}}
	for _, e := range []struct {
		aggregate, address string
		parameters         document
	}{
		{"link", string(namespace) + ".events.link.{link}", document{link}},
		{"grant", string(namespace) + ".events.grant.{link}.{grant}", document{link, grant}},
		{"name", string(namespace) + ".events.name.{name}", document{{"name", document{{"description", "the id that is derived from the name"}}}}},
	} {
		var messages []string
		for _, m := range Events() {
			if strings.HasPrefix(m.ID, "outlink."+e.aggregate+".") {
				messages = append(messages, a.message(m, a.prose.Type(m.Type), eventHeaders()))
			}
		}
		channel := "events." + e.aggregate
		a.channel(channel, e.address, "All events of one "+e.aggregate+", for ever, in the stream "+namespace.Events()+".", e.parameters, messages...)
		a.operation(channel, "send", channel, "Record what happened to a "+e.aggregate, "CloudEvents 1.0 in binary mode. The order of the stream is the only order.", messages)
	}
	notice := a.message(Notice, a.prose.Type(Notice.Type), headers("Nats-Msg-Id", "the notice's id: a repeat has the same"))
	a.channel("notice", string(namespace)+".notice.{kind}.{link}", "What a person should know, in the stream "+namespace.Notices()+".",
		document{{"kind", document{{"description", "the notice's kind"}}}, link}, notice)
	a.operation("notice", "send", "notice", "Tell what only a person can do", a.prose.Type(Notice.Type), []string{notice})
	read := a.message(Read, a.prose.Type(Read.Type), nil)
	a.channel("read", string(namespace)+".read.{link}", "Who read which token, in the stream "+namespace.Reads()+".", document{link}, read)
	a.operation("read", "send", "read", "Write down who read a token", a.prose.Type(Read.Type), []string{read})
}

// headers is a schema of headers: names and meanings by turns.
func headers(pairs ...string) schema {
	properties := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		properties[pairs[i]] = schema{"type": "string", "description": pairs[i+1]}
	}
	return schema{"type": "object", "properties": properties}
}

// EventHeaders are the headers of an event and what they mean.
var EventHeaders = map[string]string{
	"ce-id":                 "the event's id; Nats-Msg-Id is the same",
	"ce-type":               "the event's type",
	"ce-source":             "the writer",
	"ce-specversion":        "1.0",
	"ce-subject":            "the link, or link/grant",
	"ce-time":               "when it was decided",
	"ce-datacontenttype":    "application/json",
	"ce-actor":              "who caused it",
	"ce-correlationid":      "the piece of work that it belongs to",
	"ce-causationid":        "the command that caused it",
	"traceparent":           "W3C trace context",
	"Outlink-Version":       "events of this link or grant so far",
	"Outlink-Hash":          "of this event and those before it",
	"Outlink-State":         "the state after it: Outlink's own, not a contract",
	"Outlink-State-Version": "of that state",
	"Outlink-After":         "sequence of the message before it on its subject; 0: none",
	"Outlink-MAC-Key":       "id of the key that the MAC is made with",
	"Outlink-MAC":           "HMAC-SHA-256 (RFC 2104), in base64, over subject, body and these headers: only nodes can make and check it",
}

func eventHeaders() schema {
	var pairs []string
	for name, means := range EventHeaders {
		pairs = append(pairs, name, means)
	}
	return headers(pairs...)
}
