package collector

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseBudget(t *testing.T) {
	for text, want := range map[string]Money{
		"": {}, "none": {}, " none ": {}, "500": {Amount: 500}, "500 USD": {500, "USD"}, "  0.5\tEUR ": {0.5, "EUR"}, "1e3 credits": {1000, "credits"},
	} {
		if got, err := ParseBudget(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"0", "-1 USD", "NaN", "Inf USD", "+Inf", "1e999", "USD", "USD 500", "$500", "500USD", "1,000 USD", "500 US D", "500 U\x1fSD", "500 abcdefghijklmnopq",
		"no", "none USD", "500 €", "0x",
	} {
		if got, err := ParseBudget(text); got != (Money{}) || err == nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// said is a poll of a job of which something is said, in a source with a default of its own.
func said(second int, budget string, own Money, currency string) Update {
	u := poll(second)
	u.Info.Budget, u.Budget, u.Currency, u.HasBudget = budget, own, currency, true
	return u
}

// budgets are a job's, as exposed.
func budgets(j *Job) map[string]float64 {
	out := map[string]float64{}
	for _, currency := range j.Labels(Budget) {
		out[currency], _ = j.Reading(Budget, currency)
	}
	return out
}

func TestABudgetIsThatOfTheJobOrElseOfItsSource(t *testing.T) {
	usd, eur := Money{100, "USD"}, Money{100, "EUR"}
	cost := func(second int, currency string) Update {
		u := said(second, "", Money{Amount: 100}, "USD")
		u.Readings = []Reading{{Metric: Cost, Label: currency, Value: 7}}
		return u
	}
	registered := Update{At: at(0), Origin: Registered, Info: Info{Budget: "500"}}
	for name, c := range map[string]struct {
		updates []Update
		want    map[string]float64
	}{
		"nothing said":                        {[]Update{said(0, "", Money{}, "USD")}, nil},
		"of the source":                       {[]Update{said(0, "", usd, "USD")}, map[string]float64{"USD": 100}},
		"of the source, without a currency":   {[]Update{said(0, "", Money{Amount: 100}, "CHF")}, map[string]float64{"CHF": 100}},
		"of the job":                          {[]Update{said(0, "500 EUR", usd, "USD")}, map[string]float64{"EUR": 500}},
		"of the job, in that of the source":   {[]Update{said(0, "500", eur, "USD")}, map[string]float64{"USD": 500}},
		"no currency anywhere":                {[]Update{said(0, "500", Money{}, "")}, map[string]float64{"": 500}},
		"in the currency of the costs":        {[]Update{cost(0, "EUR")}, map[string]float64{"EUR": 100}},
		"the currency of the costs comes":     {[]Update{said(0, "", Money{Amount: 100}, "USD"), cost(10, "EUR")}, map[string]float64{"EUR": 100}},
		"in lower case":                       {[]Update{said(0, "500 usd", Money{}, "USD")}, map[string]float64{"USD": 500}},
		"in lower case, the costs have it":    {[]Update{said(0, "500 eur", usd, "USD"), cost(10, "EUR")}, map[string]float64{"EUR": 500}},
		"none":                                {[]Update{said(0, "none", usd, "USD")}, nil},
		"said no more: it stays":              {[]Update{said(0, "500 EUR", usd, "USD"), said(10, "", usd, "USD")}, map[string]float64{"EUR": 500}},
		"raised":                              {[]Update{said(0, "500 EUR", usd, "USD"), said(10, "600 EUR", usd, "USD")}, map[string]float64{"EUR": 600}},
		"in another currency":                 {[]Update{said(0, "500 EUR", usd, "USD"), said(10, "600 USD", usd, "USD")}, map[string]float64{"USD": 600}},
		"lifted":                              {[]Update{said(0, "500 EUR", usd, "USD"), said(10, "none", usd, "USD")}, nil},
		"of the source, changed":              {[]Update{said(0, "", usd, "USD"), said(10, "", eur, "USD")}, map[string]float64{"EUR": 100}},
		"of the source, gone":                 {[]Update{said(0, "", usd, "USD"), said(10, "", Money{}, "USD")}, nil},
		"of the job, the source changed":      {[]Update{said(0, "500", usd, "USD"), said(10, "", Money{200, "USD"}, "USD")}, map[string]float64{"USD": 500}},
		"cannot be read: that of the source":  {[]Update{said(0, "a lot", usd, "USD")}, map[string]float64{"USD": 100}},
		"cannot be read any more":             {[]Update{said(0, "500 EUR", usd, "USD"), said(10, "a lot", usd, "USD")}, map[string]float64{"USD": 100}},
		"registered, not yet asked":           {[]Update{registered}, nil},
		"registered":                          {[]Update{registered, said(10, "", usd, "CHF")}, map[string]float64{"CHF": 500}},
		"registered anew with another amount": {[]Update{registered, said(10, "", usd, "CHF"), {At: at(20), Origin: Registered, Info: Info{Budget: "9"}}, said(30, "", usd, "CHF")}, map[string]float64{"CHF": 9}},
	} {
		j, _, totals := polls(t, ReduceOptions{}, c.updates...)
		if got := budgets(j); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		wantBad := uint64(0)
		if name == "cannot be read: that of the source" || name == "cannot be read any more" {
			wantBad = 1
		}
		if n := countOf(totals.Unknown, "budget"); n != wantBad {
			t.Errorf("%s: %d counted that cannot be read", name, n)
		}
	}
}

// TestABudgetThatStaysIsNoNews: it is said with every listing and poll.
func TestABudgetThatStaysIsNoNews(t *testing.T) {
	for _, text := range []string{"", "500 EUR", "none", "a lot"} {
		u := said(10, text, Money{100, "USD"}, "USD")
		u.Key = testKey
		first := Reduce(nil, u, ReduceOptions{})
		u.At = at(20)
		again := Reduce(first.Job, u, ReduceOptions{})
		if again.Changed || len(again.Tally.Unknown) > 0 {
			t.Errorf("%q: said again it changes the job, and counts %v", text, again.Tally.Unknown)
		}
		u.Budget.Amount = 100.5
		if next := Reduce(first.Job, u, ReduceOptions{}); next.Job.Updated != first.Job.Updated {
			t.Errorf("%q: the job has news since %v", text, next.Job.Updated)
		}
	}
}

func TestABudgetWithoutCostsIsExposed(t *testing.T) {
	j, _, _ := polls(t, ReduceOptions{}, said(0, "500 USD", Money{}, ""))
	for _, r := range JobRows() {
		if r.Prom != "training_job_budget" {
			continue
		}
		var p Points
		r.Read(j, &p)
		if p.Len() != 1 {
			t.Errorf("%d points", p.Len())
		}
	}
	if names := pointsOf(j); !slices.Contains(names, "training_job_budget") || slices.Contains(names, "training_job_cost") {
		t.Errorf("exposed: %q", names)
	}
}

// fake is a fakeSource, or one that can do more.
type fake interface {
	Follower
	forget()
}

// priced is a source whose jobs have a budget, and a credential that somebody replaces.
type priced struct {
	fakeSource
	end func() time.Time
}

func (*priced) Budget() (Money, string)       { return Money{Amount: 100}, "CHF" }
func (p *priced) CredentialExpiry() time.Time { return p.end() }

func TestTheSchedulerTellsTheSourcesBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(j *Job) (Update, error) {
			if j.Key.ID == "listed" {
				return Update{}, errors.New("no answer")
			}
			return running(j)
		}
		p := &priced{fakeSource: fakeSource{ids: []string{"listed"}, answer: answer, partial: true}, end: func() time.Time { return time.Time{} }}
		b, h, stop := schedule(t, p, newFakeLedger())
		defer stop()
		synctest.Wait()
		if got := budgets(b.store.Job(Key{"s", "listed"})); got["CHF"] != 100 {
			t.Errorf("listed: %v", got)
		}
		if err := b.Register(t.Context(), Registration{Key: Key{"s", "told"}}); err != nil {
			t.Fatal(err)
		}
		if err := b.Register(t.Context(), Registration{Key: Key{"s", "own"}, Info: Info{Budget: "7"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := budgets(b.store.Job(Key{"s", "told"})); got["CHF"] != 100 {
			t.Errorf("registered: %v", got)
		}
		if got := budgets(b.store.Job(Key{"s", "own"})); got["CHF"] != 7 {
			t.Errorf("registered with one: %v", got)
		}
		if h.View().CredentialExpiry.Known() {
			t.Error("an end was made up")
		}
	})
}

func TestTheEndOfACredentialMovesWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		replaced := time.Now().Add(10 * time.Minute)
		p := &priced{fakeSource: fakeSource{answer: running}, end: func() time.Time {
			if time.Now().After(replaced) {
				return end.Add(24 * time.Hour)
			}
			return end
		}}
		_, h, stop := schedule(t, p, newFakeLedger())
		defer stop()
		synctest.Wait()
		if v := h.View(); v.CredentialExpiry != TimeOf(end) || v.Renewed {
			t.Errorf("at first: %v, renewed %v", v.CredentialExpiry, v.Renewed)
		}
		time.Sleep(12 * time.Minute)
		if v := h.View(); v.CredentialExpiry != TimeOf(end.Add(24*time.Hour)) {
			t.Errorf("when it was replaced: %v", v.CredentialExpiry)
		}
	})
}

// TestATokenThatIsRenewedIsNotASecretThatEnds: the one is shown where there is no other.
func TestATokenThatIsRenewedIsNotASecretThatEnds(t *testing.T) {
	h := NewHealth(time.Now())
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	for i, c := range []struct {
		credential, token, want time.Time
		renewed                 bool
	}{
		{}, {token: soon, want: soon, renewed: true}, {credential: later, want: later}, {credential: later, token: soon, want: later},
	} {
		h.Expiry(c.credential)
		h.TokenExpiry(c.token)
		if v := h.View(); v.CredentialExpiry != TimeOf(c.want) || v.Renewed != c.renewed {
			t.Errorf("%d: %v, renewed %v", i, v.CredentialExpiry.Std(), v.Renewed)
		}
	}
}
