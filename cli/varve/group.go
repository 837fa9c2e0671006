package main

func groupCommand() *command {
	return &command{
		name:  "group",
		short: "list, describe, move and delete consumer groups",
		sub: []*command{
			groupListCommand(), groupDescribeCommand(), groupLagCommand(), groupSeekCommand(), groupDeleteCommand(),
		},
		examples: []string{"varve group list", "varve group lag --all"},
	}
}
