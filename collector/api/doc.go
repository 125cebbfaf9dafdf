// Package api is what every HTTP source shares: one client that is polite to the service and suspicious of its answers.
//
// # A request
//
// A source builds one [Client] per credential from the [Config] that is inlined into its own configuration, and calls
// [Client.JSON] with a [Request] and a function that decodes the answer:
//
//	err := client.JSON(ctx, api.Request{Operation: "events", URL: u}, func(d *api.Decoder) error {
//		page = page[:0] // a retry decodes from scratch
//		return d.Object(func(key string) error {
//			if key != "data" {
//				return nil // what is not read is skipped
//			}
//			return d.Array(func(int) error { return readEvent(d, &page) })
//		})
//	})
//
// # What the client promises
//
//   - The rate never exceeds rate_limit with a burst of burst. An answer 429 halves the rate, which then grows back by a
//     twentieth of the configured rate a minute. Retry-After (also in milliseconds, with fractions, or as a date) stops the
//     whole credential: no request starts before it has passed.
//   - Only failures that may pass are tried again (connection, time-out, 408, 409, 425, 429, 5xx), at most three attempts a call,
//     with full jitter, inside the caller's deadline, and never more than a tenth of all requests. Nothing below the client
//     retries, except that net/http sends a GET again when a kept connection was closed under it.
//   - A 401 is tried once more at once, because a key file may just have been replaced; after a second 401 the credential
//     rests for one to five minutes or until the key changes. Half of the requests failing opens a breaker.
//   - No redirect is followed, so that a credential cannot leave the host. Link-local addresses (cloud metadata), the
//     unspecified address and multicast are never dialled, whatever a name resolves to. Loopback and private networks
//     are allowed: services may be on premise.
//   - An answer must be JSON by its content type. Limits on bytes after decompression, depth, items and string length
//     act while it is read.
//   - Every error is an [Error] with a class from a closed set. No error text holds a body, a query or a credential.
//
// # Not quite JSON
//
// Services written in Python may send the bare words NaN, Infinity and -Infinity. They are read as the strings "NaN",
// "Infinity" and "-Infinity", so that a page with a diverged loss is still a page; [Value.Float] judges each value alone.
package api
