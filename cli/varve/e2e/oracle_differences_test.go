//go:build e2e && oracle

package e2e

// What Varve answers where Kafka answers nothing: an assignment of no partitions, as a consumer can read it.
const noPartitions = `"\\x00\\x00\\x00\\x00\\x00\\x00\\xff\\xff\\xff\\xff"`

// oracleDifferences are the differences from Kafka 4.1 that were looked at, each with its reason. "Differs from Kafka" at the handlers in
// agent/kafka says the same.
var oracleDifferences = []explained{
	{"find.v*.transaction", "*", "*", "*", "there are no transactions: clients shall take the answer as final"},
	{"find.v6.share", "*", "*", "*", "there are no share groups, and never will be a coordinator"},
	{"find.v[45].share", "*ErrorMessage", "none", "some", "Varve says what is wrong"},
	{"consumer.gone", "Groups{}.ErrorMessage", "none", "some", "Varve says what is wrong"},
	{"join.v*.sync again", "MemberAssignment", `""`, noPartitions, emptyWhy},
	{"member.sync without an assignment", "MemberAssignment", `""`, noPartitions, emptyWhy},
	{"two.b assigns itself nothing", "MemberAssignment", `""`, noPartitions, emptyWhy},
	{"bounds.name xxxxx 301", "ErrorCode", "79", "24", nameWhy},
	{"bounds.name xxxxx 4000", "ErrorCode", "79", "24", nameWhy},
	{"bounds.name xxxxx *", "MemberID", "*", "", nameWhy},
	{"static.long instance", "*", "*", "*", prefixWhy},
	{"fetch.v*.the same twice", "*Partitions{0 again 2}*", "*", "-", againWhy},
	{"list.*", "Groups{xxxxx... 301}*", "*", "-", nameWhy},
	{"list.*", "Groups{xxxxx... 4000}*", "*", "-", nameWhy},
	{"consumer.bad.v*.empty topics", "MemberEpoch", "1", "2", bumpWhy},
	{"consumer.bad.v1.regex of nothing", "MemberEpoch", "*", "*", bumpWhy},
	{"list.*", "Groups{beat-0}.GroupState", "Assigning", "Reconciling", bumpWhy},
	{"consumer.bad.v*.empty assignor", "*", "*", "*", "the empty name of an assignor asks for any, as no name does"},
	{"consumer.a has given up", "Assignment*", "*", "*", "the assignment is told again with each new epoch"},
	{"consumer.empty", "Groups{consumer}.AssignmentEpoch", "*", "*", "a group without members has an assignment too: of nothing, at once"},
	{"mixed.a converts the group", "Assignment.Topics{}.Partitions", "*", "*", evenWhy},
	{"mixed.described", "Groups{mixed}.Members{*}.*Assignment.TopicPartitions{t}.Partitions", "*", "*", evenWhy},
	{"mixed.classic into the empty group", "Generation", "*", "*", goesOnWhy},
	{"mixed.a alone", "MemberEpoch", "*", "*", goesOnWhy},
	{"regex.*", "*", "*", "*", "a regular expression is resolved at once, by Kafka a moment later"},
	{"expiry.only an id", "Groups{expiry-id}.State", "Dead", "Empty", "Kafka describes what is stored, and stores nothing for an id that was only given out"},
}

const (
	bumpWhy   = "a new member raises the epoch also if it subscribes to nothing"
	evenWhy   = "both are even; which member gets one more is nobody's promise"
	goesOnWhy = "when an empty group changes its protocol its epoch goes on"
	emptyWhy  = "a member that its leader forgot gets an assignment of no partitions: some clients cannot read no bytes"
	prefixWhy = "the id of a member begins with 255 bytes of its instance id at most: all members are told of it"
	againWhy  = "metadata of some KiB for each four bytes of a request: a partition is told of once"
	nameWhy   = "the name of a group is a sort key of the table: 300 bytes at most"
)
