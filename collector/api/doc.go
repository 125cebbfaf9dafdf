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
//     whole credential: no request starts before it has passed, or an hour. A quota that is used up is another thing than
//     a rate: if the service does not say for how long, the pause is a quarter of an hour, then half of one, then one.
//   - Whoever comes first is served first. Who gives up waiting returns at once, and takes no place from those behind.
//   - Services say with every answer how much of their limit is left (X-RateLimit-*, RateLimit-*, RateLimit). What is left is
//     spread over the time until the limit renews, so that they need not refuse. This only ever slows down, to no less than a
//     hundredth of rate_limit, and for no longer than an hour after it was last said. When nothing is left nothing is asked
//     until the renewal, for an hour at most; if the service then answers and says again that nothing is left, what it says
//     is not heeded for an hour.
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
//   - Every error is an [Error] with a class from a closed set. No error text holds a body, a query or a credential, but the
//     service's own short message, with whatever secret of the request it quotes taken out. An answer with the status of a
//     success is an error only if it cannot be decoded: a source must insist on the fields it needs, for some services
//     report errors so.
//
// # Signatures and tokens
//
// Where a key in a header is not enough, a source sets [Config.Signer]. Each attempt is signed once, when its turn has come, so
// that times in signatures are those of sending; a retry is signed again. What is signed is what is sent: the target of the
// request is r.URL.RequestURI(), byte for byte. No redirect is followed, so that a signature stays on its host.
//
// An error of Sign ends the call with the class that the error has, and nothing is sent, counted or held against the host. An
// answer 401 is told to Refused, and the request is signed and sent once more at once; after another one the credential rests,
// until its time is over or Fingerprint changes. So the fingerprint must be that of the configured secret, and not of a token
// made from it. Setting is quoted in the errors, for the person who must mend it.
//
// A signer that makes requests itself, for a token, has a client of its own without a signer, and passes on the context that it
// was given: then they count as requests of the poll that needed them, and against the rate of the client that they are
// made for. They do not stand in its line, which would never move on without them; the line waits longer instead. A token's
// request is sent with Idempotent set, or is asked once.
//
// # Not quite JSON
//
// Services written in Python may send the bare words NaN, Infinity and -Infinity. They are read as the strings "NaN",
// "Infinity" and "-Infinity", so that a page with a diverged loss is still a page; [Value.Float] judges each value alone.
package api
