// Package simtest runs agents as a whole. Tests only.
//
// cluster_*: three agents, real kgo clients, stores in memory behind faults and a network in memory, in a bubble of virtual time
// (testing/synctest). Scripts are named by the race that they play (R1 to R29, Z1 to Z18); TestClusterSim draws faults from a seed:
// `make sim`. Every write to the table is checked as it happens (watcher), every record at the end (history, porcupine), and
// the bucket is walked without an agent (walk). network_*: the network.
//
// segment_*: the same clusters while records become packs and segments within seconds, are retained, deleted and swept: books are kept of
// each write to the table and each deletion, and a take-over of every slot is played after it. `make sim WHAT=segments`.
//
// group_*: clusters whose clients are members of groups, built with the tag synctests, with which kgo's locks let virtual time go on:
// `make sim WHAT=groups`. The races of a group's coordinator (R19) need no members and no tag.
//
// latency_*: the log alone on stores that take their time, under clients with an open load: what records wait for, where, and for how many
// dollars. A run is the same each time. `make latency`.
//
// core_*: the pure cores under one seeded scheduler, replayed exactly. model: the protocol, and packs and segments, as explicit-state models.
//
// mutants_*: the tests of the rooms have teeth: faults that shipped systems lost data by are planted, one at a time, and a named
// test must fail.
package simtest
