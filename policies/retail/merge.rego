# Two versions of one key met: which one stays.
#
# Input: {key, replica, local: {value, ts, origin}, remote: {value, ts, origin}}. Answer: {decision,
# value}, where decision is local, remote, merge or siblings (facts/verification.md, 2.6).
#
# Of two stock levels the smaller stays: it is better to have sold nothing than to have sold what is
# not there. Equal levels, and values that are no numbers, are settled by the later time, then by
# the origin, then by the value itself. The order is total, so whoever merges, in whatever order and
# grouping, ends with the same version.
package sync

# METADATA
# entrypoint: true
merge := {"decision": "local", "value": input.local.value} if {
	rank(input.local) >= rank(input.remote)
}

merge := {"decision": "remote", "value": input.remote.value} if {
	rank(input.local) < rank(input.remote)
}

# The version with the larger rank stays.
rank(version) := [1, 0 - version.value, version.ts, version.origin, version.value] if {
	is_number(version.value)
}

rank(version) := [0, 0, version.ts, version.origin, version.value] if {
	not is_number(version.value)
}
