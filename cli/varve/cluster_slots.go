package main

import (
	"context"

	"github.com/varvelog/varve/client"
)

func clusterSlotsCommand() *command {
	var conn connection
	var format string
	return &command{
		name:  "slots",
		short: "list the slots (units of leadership) and who leads them",
		long: `WANT is the agent that shall lead next. FROM counts earlier sessions that may hold parts of the slot's log. STATE is told by
the leader: opening, open, moving. PARTITIONS and BYTES-PER-SEC (appended) are those of its last leader until
some 10 s after a slot has moved.`,
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve cluster slots", "varve cluster slots --output json"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				all, err := survey(ctx, c)
				if err != nil {
					return err
				}
				var rows []object
				for _, s := range merged(all) {
					rows = append(rows, s.fields)
				}
				return document{listings: []listing{listingOf("slots", rows)}}.print(w.out, format)
			})
		},
	}
}
