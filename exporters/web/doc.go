// Package web is what the bridge shows to people and takes from them over HTTP, besides metrics: the status page, the
// probes of a service manager, reload, and the jobs API.
//
// # Endpoints
//
//	GET  /                 status page: sources, how they answer, how many jobs they have
//	GET  /-/healthy        200 as long as the process answers; nothing else is looked at
//	GET  /-/ready          200 once the state is loaded and served, else 503
//	POST /-/reload         reads the configuration again; off unless enabled (PUT works too)
//	POST /api/v1/jobs      makes jobs known; off unless enabled
//
// The program mounts the handlers; authentication and TLS are those of its listener.
//
// # The jobs API
//
// The body is one job or a list of them, as JSON:
//
//	{"source": "rl-team", "id": "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11", "name": "voice-agent", "group": "agent-001", "fresh": true}
//
// source and id are required; name, group, project, owner, base_model, kind and url (where a person can look) are shown to
// people. fresh says that the job was created just now, so that all its steps are news and none are a backlog. Fields are
// case-sensitive, unknown or repeated ones are refused, and nothing is registered unless the whole body is right. The answer
// is 200 after every job is durable; registering a job again updates what is shown. Otherwise the answer is
// {"error": "..."}, with "failed" for jobs that could not be registered though the body was right.
//
// Requests from web pages of other origins are refused.
package web
