//! What is asked of an adapter's client. The broker is driven by hand.

mod connections;
mod endpoints;
mod streams;
mod told;

use super::adapter::ClientAdapter;
use super::check::{Check, checks};

pub(super) fn all<A: ClientAdapter>() -> Vec<Check<A>> {
    checks![
        streams::bytes_may_come_and_go_one_by_one,
        streams::a_burst_is_read_to_its_end_though_nothing_follows,
        streams::commands_go_out_by_themselves,
        streams::a_broker_that_does_not_read_makes_send_say_full_and_nothing_wait,
        streams::what_a_broker_does_not_read_waits_in_the_core,
        streams::an_application_that_does_not_read_holds_back_its_sender_only,
        streams::program_10_a_message_in_hand_is_not_acknowledged,
        connections::a_broker_that_is_not_there_is_found_when_it_is,
        connections::a_broker_that_slams_its_door_is_not_besieged,
        connections::all_goes_out_when_the_window_opens,
        connections::connections_that_are_cut_lose_nothing,
        connections::a_broker_that_ends_its_writing_is_left,
        connections::silence_is_noticed_in_time,
        connections::a_close_in_the_middle_of_everything_says_all_and_ends,
        connections::a_client_that_is_dropped_is_away,
        connections::a_crowd_comes_back_after_each_cut,
        endpoints::field_f3_an_endpoint_that_gives_no_session_is_passed_over,
        endpoints::field_f3_endpoints_that_are_all_bad_are_not_besieged,
        endpoints::field_f5_names_that_do_not_come_stop_nobody,
        endpoints::program_1_names_that_come_late_are_used;
        alone: streams::an_idle_client_does_not_work
    ]
}
