//! What is asked of an adapter's broker. All peers are driven by hand.

mod crowds;
mod endings;
mod setup;
mod streams;

use super::adapter::BrokerAdapter;
use super::check::{Check, checks};

pub(super) fn all<A: BrokerAdapter>() -> Vec<Check<A>> {
    checks![
        streams::bytes_may_come_and_go_one_by_one,
        streams::a_burst_is_read_to_its_end_though_nothing_follows,
        streams::input_that_the_core_did_not_take_is_offered_again,
        streams::a_peer_that_does_not_read_gets_everything_later_and_stops_nobody,
        streams::what_a_peer_does_not_read_waits_in_the_core,
        streams::deadlines_are_kept_while_nothing_comes,
        crowds::all_who_speak_before_they_are_accepted_are_heard,
        crowds::all_who_come_while_the_broker_is_busy_are_accepted,
        crowds::a_thousand_connections_are_served,
        crowds::a_storm_of_reconnects_leaves_nothing_and_disturbs_nobody,
        crowds::one_too_many_is_told_so,
        endings::whoever_talks_nonsense_hears_the_last_words,
        endings::what_was_said_before_the_end_of_writing_counts,
        endings::a_goodbye_is_answered_though_the_socket_is_full,
        endings::a_connection_that_breaks_while_it_is_written_loses_nothing,
        endings::a_stop_in_the_middle_of_everything_is_told_and_takes_no_time;
        alone: streams::an_idle_broker_does_not_work
    ]
}
