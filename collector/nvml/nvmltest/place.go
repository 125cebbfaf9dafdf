package nvmltest

import "slices"

// Job is a job that runs now, as its source names it.
type Job struct{ Source, ID string }

// placement is which GPUs each job has.
type placement map[Job][]int

// free takes the GPUs of jobs that do not run any more.
func (p placement) free(jobs []Job) {
	running := map[Job]bool{}
	for _, j := range jobs {
		running[j] = true
	}
	for j := range p {
		if !running[j] {
			delete(p, j)
		}
	}
}

// owner is who has a GPU.
func (p placement) owner(gpu int) (Job, bool) {
	for j, gpus := range p {
		if slices.Contains(gpus, gpu) {
			return j, true
		}
	}
	return Job{}, false
}

// shares are how the GPUs of a machine are given away: a job gets all of a share that is well.
var shares = [...]int{4, 2, 1, 1}

// give gives shares that nobody has to jobs that have none: four GPUs to one of them, two to another, one to each of the others.
// Sources take turns, so that each has something to show; jobs that nothing is left for run elsewhere.
func (p placement) give(gpus int, well func(int) bool, jobs []Job) {
	for first, i := 0, 0; first < gpus; i++ {
		share := p.share(first, min(gpus, first+shares[i%len(shares)]))
		first += shares[i%len(shares)]
		share = slices.DeleteFunc(share, func(gpu int) bool { return !well(gpu) })
		if len(share) == 0 {
			continue
		}
		j, ok := p.next(jobs)
		if !ok {
			return
		}
		p[j] = share
	}
}

// share is the GPUs from one number up to another, if nobody has any of them.
func (p placement) share(from, to int) []int {
	var all []int
	for gpu := from; gpu < to; gpu++ {
		if _, taken := p.owner(gpu); taken {
			return nil
		}
		all = append(all, gpu)
	}
	return all
}

// next is the first job without GPUs of the source that has the fewest.
func (p placement) next(jobs []Job) (Job, bool) {
	has := map[string]int{}
	for j, gpus := range p {
		has[j.Source] += len(gpus)
	}
	var best Job
	found := false
	for _, j := range jobs {
		if p[j] == nil && (!found || has[j.Source] < has[best.Source]) {
			best, found = j, true
		}
	}
	return best, found
}

// all are the GPUs of each job, in their order.
func (p placement) all() [][]int {
	var all [][]int
	for _, gpus := range p {
		all = append(all, gpus)
	}
	slices.SortFunc(all, slices.Compare)
	return all
}
