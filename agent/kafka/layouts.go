// Pure.

package kafka

// layout returns the fields of the requests of a key, in the order of Kafka's protocol definitions; nil for one that is not
// decoded by kmsg. A test walks encoded requests of every version and must end exactly at their end.
func layout(key int16) []field {
	switch key {
	case 2: // ListOffsets
		partition := arrayOf(num(4), num(4).since(4), num(8))
		return []field{num(4), num(1).since(2), arrayOf(text(), partition), num(4).since(10)}
	case 3: // Metadata
		return []field{arrayOf(num(16).since(10), text()), num(1).since(4), num(1).since(8).until(10), num(1).since(8)}
	case 10: // FindCoordinator
		return []field{text().until(3), num(1).since(1), vectorOf(text()).since(4)}
	case 18: // ApiVersions
		return []field{text().since(3), text().since(3), text().since(5), num(4).since(5)}
	case 19: // CreateTopics
		return []field{arrayOf(text(), num(4), num(2), arrayOf(num(4), vectorOf(num(4))), arrayOf(text(), text())), num(4), num(1).since(1)}
	case 20: // DeleteTopics
		return []field{arrayOf(text(), num(16)).since(6), vectorOf(text()).until(5), num(4)}
	case 22: // InitProducerId
		return []field{text(), num(4), num(8).since(3), num(2).since(3)}
	case 21: // DeleteRecords
		return []field{arrayOf(text(), arrayOf(num(4), num(8))), num(4)}
	case 23: // OffsetForLeaderEpoch
		return []field{num(4).since(3), arrayOf(text(), arrayOf(num(4), num(4).since(2), num(4)))}
	case 32: // DescribeConfigs
		return []field{arrayOf(num(1), text(), vectorOf(text())), num(1).since(1), num(1).since(3)}
	case 33: // AlterConfigs
		return []field{arrayOf(num(1), text(), arrayOf(text(), text())), num(1)}
	case 37: // CreatePartitions
		return []field{arrayOf(text(), num(4), arrayOf(vectorOf(num(4)))), num(4), num(1)}
	case 44: // IncrementalAlterConfigs
		return []field{arrayOf(num(1), text(), arrayOf(text(), num(1), text())), num(1)}
	case 60: // DescribeCluster
		return []field{num(1), num(1).since(1), num(1).since(2)}
	}
	if of := layoutGroup(key); of != nil {
		return of
	}
	return layoutAdmin(key)
}

// layoutGroup is layout for what members of groups ask, and those who administer them.
func layoutGroup(key int16) []field {
	partitions := arrayOf(text(), vectorOf(num(4))) // of topics
	switch key {
	case 8: // OffsetCommit
		partition := arrayOf(num(4), num(8), num(4).since(6), text())
		return []field{text(), num(4), text(), text().since(7), num(8).until(4), arrayOf(text().until(9), num(16).since(10), partition)}
	case 9: // OffsetFetch
		topics := arrayOf(text().until(9), num(16).since(10), vectorOf(num(4)))
		return []field{text().until(7), partitions.until(7), arrayOf(text(), text().since(9), num(4).since(9), topics).since(8), num(1).since(7)}
	case 11: // JoinGroup
		return []field{text(), num(4), num(4).since(1), text(), text().since(5), text(), arrayOf(text(), data()), text().since(8)}
	case 12: // Heartbeat
		return []field{text(), num(4), text(), text().since(3)}
	case 13: // LeaveGroup
		return []field{text(), text().until(2), arrayOf(text(), text(), text().since(5)).since(3)}
	case 14: // SyncGroup
		return []field{text(), num(4), text(), text().since(3), text().since(5), text().since(5), arrayOf(text(), data())}
	case 15: // DescribeGroups
		return []field{vectorOf(text()), num(1).since(3)}
	case 16: // ListGroups
		return []field{vectorOf(text()).since(4), vectorOf(text()).since(5)}
	case 42: // DeleteGroups
		return []field{vectorOf(text())}
	case keyConsumerHeartbeat:
		return []field{text(), text(), num(4), text(), text(), num(4), vectorOf(text()), text().since(1), text(), arrayOf(num(16), vectorOf(num(4)))}
	case keyConsumerDescribe:
		return []field{vectorOf(text()), num(1)}
	case 47: // OffsetDelete
		return []field{text(), arrayOf(text(), arrayOf(num(4)))}
	}
	return nil
}

// layoutAdmin is layout for what administrators' tools ask.
func layoutAdmin(key int16) []field {
	acl := []field{num(1), text(), num(1).since(1), text(), text(), num(1), num(1)}
	partitions := arrayOf(text(), vectorOf(num(4))) // of topics
	switch key {
	case 29: // DescribeAcls
		return acl
	case 30, 31: // CreateAcls, DeleteAcls
		return []field{arrayOf(acl...)}
	case 35, 61: // DescribeLogDirs, DescribeProducers
		return []field{partitions}
	case 43: // ElectLeaders
		return []field{num(1).since(1), partitions, num(4)}
	case 45: // AlterPartitionReassignments
		return []field{num(4), num(1).since(1), arrayOf(text(), arrayOf(num(4), vectorOf(num(4))))}
	case 46: // ListPartitionReassignments
		return []field{num(4), partitions}
	case 48: // DescribeClientQuotas
		return []field{arrayOf(text(), num(1), text()), num(1)}
	case 49: // AlterClientQuotas
		return []field{arrayOf(arrayOf(text(), text()), arrayOf(text(), num(8), num(1))), num(1)}
	case 50: // DescribeUserScramCredentials
		return []field{arrayOf(text())}
	case 51: // AlterUserScramCredentials
		return []field{arrayOf(text(), num(1)), arrayOf(text(), num(1), num(4), text(), text())}
	case 57: // UpdateFeatures
		return []field{num(4), arrayOf(text(), num(2), num(1)), num(1).since(1)}
	case 74: // ListConfigResources
		return []field{vectorOf(num(1)).since(1)}
	case 75: // DescribeTopicPartitions
		return []field{arrayOf(text()), num(4), maybe(text(), num(4))}
	}
	return nil
}
