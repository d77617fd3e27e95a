use super::*;
use crate::bus::parts::testing::Here;

const OTHERS: [Process; 2] = [Process([2; 6]), Process([3; 6])];
const FRESH: Process = Process([4; 6]);
const SECOND: Duration = Duration::from_secs(1);

/// A process that knows the others.
fn settled(here: &mut Here) -> Processes {
    let mut processes = Processes::new(true, here.now);
    let now = here.now;
    processes.connected(now, &mut here.hands());
    for other in OTHERS {
        processes.hear(other, Some(SECOND * 60), false, now);
    }
    here.now += SECOND;
    here.posted();
    processes
}

fn ids(count: usize) -> Vec<ClientId> {
    (0..count).map(|_| ClientId::random()).collect()
}

fn ask(here: &mut Here, questions: &mut Questions, number: u32, asks: Asks) {
    let owner = here.owner.number;
    questions.ask((owner, number), asks, b"a", &here.hands());
}

/// Asks, and the question comes back at once.
fn ask_all(
    here: &mut Here,
    (questions, processes): (&mut Questions, &Processes),
    number: u32,
    asks: Asks,
) {
    ask(here, questions, number, asks);
    questions.advance(processes, false, &mut here.hands());
    questions.came_back(questions.last, processes, &here.hands());
}

#[test]
fn a_question_waits_until_all_are_known_and_ends_with_the_last_answer() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let unknown = Processes::new(true, here.now);
    ask(&mut here, &mut questions, 7, Asks::Ids);
    questions.advance(&unknown, false, &mut here.hands());
    assert!(here.posted().is_empty());
    let processes = settled(&mut here);
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.posted().len(), 1);
    questions.came_back(1, &processes, &here.hands());
    let [one, two] = OTHERS;
    let all = ids(3);
    questions.hear(one, 1, (0, 2), &all[..1], &here.hands());
    // A part that came twice and one that comes too early change nothing.
    questions.hear(one, 1, (0, 2), &all[..1], &here.hands());
    questions.hear(one, 1, (2, 2), &all[..1], &here.hands());
    questions.hear(two, 1, (0, 1), &all[1..2], &here.hands());
    assert_eq!(here.heard(), "");
    questions.hear(one, 1, (1, 2), &all[2..], &here.hands());
    let [a, b, c] = [all[0], all[1], all[2]];
    assert_eq!(here.heard(), format!(r#"[[7,0,3,"{a}","{b}","{c}"]]"#));
    assert!(questions.asked.is_empty() && questions.held == 0);
}

#[test]
fn whoever_has_not_answered_in_time_is_missing_and_whoever_has_ended_is_not() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let processes = settled(&mut here);
    ask_all(&mut here, (&mut questions, &processes), 1, Asks::Size);
    questions.hear(OTHERS[0], 1, (0, 5), &[], &here.hands());
    here.now += PATIENCE;
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.heard(), "[[1,1,5]]");
    ask_all(&mut here, (&mut questions, &processes), 2, Asks::Clients);
    questions.hear(OTHERS[0], 2, (0, 5), &[], &here.hands());
    questions.ended(OTHERS[1], &here.hands());
    assert_eq!(here.heard(), "[[2,0,5]]");
    ask(&mut here, &mut questions, 3, Asks::Size);
    questions.advance(&processes, true, &mut here.hands());
    assert_eq!(here.heard(), "[[3,1,0]]");
}

#[test]
fn a_process_that_is_heard_of_before_the_question_is_back_is_waited_for() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let mut processes = settled(&mut here);
    ask(&mut here, &mut questions, 1, Asks::Size);
    questions.advance(&processes, false, &mut here.hands());
    for other in OTHERS {
        questions.hear(other, 1, (0, 1), &[], &here.hands());
    }
    // The announcement was published before the question, and is read after it was asked.
    processes.hear(FRESH, Some(SECOND), false, here.now);
    questions.came_back(1, &processes, &here.hands());
    assert_eq!(here.heard(), "");
    // This one came later, and has not got the question.
    processes.hear(Process([5; 6]), Some(SECOND), false, here.now);
    questions.came_back(1, &processes, &here.hands());
    questions.hear(FRESH, 1, (0, 5), &[], &here.hands());
    assert_eq!(here.heard(), "[[1,0,7]]");
}

#[test]
fn an_answer_that_comes_before_the_announcement_counts_once() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let mut processes = settled(&mut here);
    ask(&mut here, &mut questions, 1, Asks::Size);
    questions.advance(&processes, false, &mut here.hands());
    for process in [FRESH, OTHERS[0], FRESH] {
        questions.hear(process, 1, (0, 5), &[], &here.hands());
    }
    processes.hear(FRESH, Some(SECOND), false, here.now);
    questions.came_back(1, &processes, &here.hands());
    for process in [FRESH, OTHERS[0]] {
        questions.hear(process, 1, (0, 5), &[], &here.hands());
    }
    assert_eq!(here.heard(), "");
    questions.hear(OTHERS[1], 1, (0, 1), &[], &here.hands());
    assert_eq!(here.heard(), "[[1,0,11]]");
    // A stranger that has begun to answer is waited for.
    ask_all(&mut here, (&mut questions, &processes), 2, Asks::Ids);
    let part = ids(1);
    questions.hear(Process([5; 6]), 2, (0, 2), &part, &here.hands());
    for process in [OTHERS[0], OTHERS[1], FRESH] {
        questions.hear(process, 2, (0, 0), &[], &here.hands());
    }
    here.now += PATIENCE;
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.heard(), format!(r#"[[2,1,1,"{}"]]"#, part[0]));
}

#[test]
fn an_answer_is_not_whole_before_the_question_is_back() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let processes = settled(&mut here);
    ask(&mut here, &mut questions, 1, Asks::Size);
    questions.advance(&processes, false, &mut here.hands());
    questions.hear(OTHERS[0], 1, (0, 5), &[], &here.hands());
    questions.ended(OTHERS[1], &here.hands());
    assert_eq!(here.heard(), "");
    // What a process that has ended has said before does not count.
    questions.hear(OTHERS[1], 1, (0, 5), &[], &here.hands());
    here.now += PATIENCE;
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.heard(), "[[1,1,5]]");
    questions.came_back(1, &processes, &here.hands());
    assert_eq!(here.heard(), "");
}

#[test]
fn whoever_knows_nobody_asks_all_the_same_and_ends_when_the_question_is_back() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let mut processes = settled(&mut here);
    for other in OTHERS {
        processes.ended(other);
    }
    ask(&mut here, &mut questions, 1, Asks::Ids);
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.posted().len(), 1);
    assert_eq!(here.heard(), "");
    questions.came_back(1, &processes, &here.hands());
    assert_eq!(here.heard(), "[[1,0,0]]");
    assert!(questions.is_empty());
    // One that cannot leave is not whole.
    while here
        .queue
        .push_uncounted(Channel::Everybody, vec![0; 50_000], here.now)
    {}
    while here
        .queue
        .push_uncounted(Channel::Everybody, vec![], here.now)
    {}
    ask(&mut here, &mut questions, 2, Asks::Ids);
    questions.advance(&processes, false, &mut here.hands());
    assert_eq!(here.heard(), "[[2,1,0]]");
}

#[test]
fn the_strangers_that_answer_a_question_are_bounded() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let processes = settled(&mut here);
    ask_all(&mut here, (&mut questions, &processes), 1, Asks::Size);
    for number in 0..u32::try_from(MOST).unwrap() + 10 {
        let [a, b, c, d] = number.to_le_bytes();
        let stranger = Process([9, 9, a, b, c, d]);
        let size = u64::from(number % 2);
        questions.hear(stranger, 1, (0, size), &[], &here.hands());
        questions.ended(Process([8, 8, a, b, c, d]), &here.hands());
    }
    let Some(Stage::Open(open)) = questions.asked.get(&1).map(|it| &it.stage) else {
        panic!("it waits for the others");
    };
    assert_eq!(open.waiting.len() + open.done.len(), MOST);
    for other in OTHERS {
        questions.hear(other, 1, (0, 0), &[], &here.hands());
    }
    assert!(here.heard().starts_with("[[1,0,"));
}

#[test]
fn an_owner_gets_many_ids_in_parts_as_it_asks_for_them() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let processes = settled(&mut here);
    ask_all(&mut here, (&mut questions, &processes), 1, Asks::Ids);
    let many = ids(PART + 1);
    let size = many.len() as u64;
    questions.hear(OTHERS[0], 1, (0, size), &many, &here.hands());
    questions.hear(OTHERS[1], 1, (0, 0), &[], &here.hands());
    assert_eq!(here.heard().matches('-').count(), 4 * PART);
    let owner = here.owner.number;
    questions.more(owner, 2, &here.hands());
    assert_eq!(here.heard(), "");
    questions.more(owner, 1, &here.hands());
    assert_eq!(here.heard().matches('-').count(), 4);
    assert_eq!(questions.held, 0);
}

#[test]
fn ids_that_are_held_are_bounded_and_those_of_owners_that_are_gone_are_freed() {
    let mut here = Here::new();
    let mut questions = Questions::default();
    let processes = settled(&mut here);
    ask(&mut here, &mut questions, 1, Asks::Ids);
    questions.advance(&processes, false, &mut here.hands());
    questions.held = MOST_IDS - 1;
    questions.hear(OTHERS[0], 1, (0, 2), &ids(2), &here.hands());
    assert_eq!(questions.held, MOST_IDS - 1);
    questions.held = 0;
    questions.hear(OTHERS[0], 1, (0, 2), &ids(1), &here.hands());
    let gone = here.owner.clone();
    let other = here.parts.owners.enter(|| (), false, 1, 1);
    here.parts.owners.leave(&gone, 1);
    here.parts.owners.left(&gone);
    questions.tidy(&here.hands());
    assert!(questions.asked.is_empty() && questions.held == 0 && other.is_some());
    for number in 0..=u32::try_from(MOST_ASKED).unwrap() {
        ask(&mut here, &mut questions, number, Asks::Size);
    }
    assert_eq!(questions.asked.len(), MOST_ASKED);
}
