package main

func topicCommand() *command {
	return &command{
		name:  "topic",
		short: "list, describe, create, change and delete topics",
		sub: []*command{
			topicListCommand(), topicDescribeCommand(), topicCreateCommand(),
			topicAlterCommand(), topicDeleteCommand(), topicAddPartitionsCommand(),
		},
		examples: []string{"varve topic create orders -p 6", "varve topic list --output json"},
	}
}
