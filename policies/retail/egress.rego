# What may leave a site: input {collection, class}. What is sensitive never does, and what nobody
# has classified is taken for sensitive.
package retail.egress

# METADATA
# entrypoint: true
default allow := false

allow if {
	is_string(input.collection)
	is_string(input.class)
	input.class != "sensitive"
}
