package collector

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in a currency, such as EUR. An empty currency is not known.
type Money struct {
	Amount   float64
	Currency string
}

const (
	noBudget    = "none" // a job that may cost what it will, whatever its source's configuration says
	maxCurrency = 16
)

var errBudget = errors.New(`must be an amount above 0 and a currency, such as "500 USD", an amount alone, or none`)

// ParseBudget reads what a job may cost: an amount above 0 and its currency, an amount alone, or none. An empty text and none
// have no amount.
func ParseBudget(s string) (Money, error) {
	words := strings.Fields(s)
	if len(words) == 0 || len(words) == 1 && words[0] == noBudget {
		return Money{}, nil
	}
	amount, err := strconv.ParseFloat(words[0], 64)
	if err != nil || !(amount > 0) || math.IsInf(amount, 0) || len(words) > 2 {
		return Money{}, errBudget
	}
	m := Money{Amount: amount}
	if len(words) == 2 {
		m.Currency = words[1]
	}
	if len(m.Currency) > maxCurrency || strings.ContainsFunc(m.Currency, notLetter) {
		return Money{}, errBudget
	}
	return m, nil
}

func notLetter(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }

// budget makes a reading of what the job may cost: what is said of the job itself, or else the default of its source. before is
// what was said of the job before this update.
func (f *fold) budget(before string) {
	j := f.job
	own, err := ParseBudget(j.Info.Budget)
	if err != nil && j.Info.Budget != before {
		f.unknown = append(f.unknown, "budget")
	}
	if !f.u.HasBudget { // whoever registers a job does not know its source
		return
	}
	if err != nil || j.Info.Budget == "" {
		own = f.u.Budget
	}
	own.Currency = f.spelled(own.Currency)
	for _, label := range j.Labels(Budget) {
		if own.Amount == 0 || label != own.Currency {
			f.withdraw(Reading{Metric: Budget, Label: label, At: f.u.At})
		}
	}
	if own.Amount != 0 {
		f.budgeted(own)
	}
}

// spelled is a currency as the costs have it, so that both can be compared: usd is USD there. Nothing is the currency of the costs.
func (f *fold) spelled(currency string) string {
	if currency == "" {
		return f.currency()
	}
	for _, known := range append(f.job.Labels(Cost), f.u.Currency) {
		if strings.EqualFold(known, currency) {
			return known
		}
	}
	return currency
}

// currency is that of the job's costs, or else the source's.
func (f *fold) currency() string {
	if known := f.job.Labels(Cost); len(known) == 1 {
		return known[0]
	}
	return f.u.Currency
}

func (f *fold) budgeted(m Money) {
	if have, ok := f.job.Reading(Budget, m.Currency); !ok || have != m.Amount {
		f.set(Reading{Metric: Budget, Label: m.Currency, Value: m.Amount, At: f.u.At})
	}
}
