#include <algorithm>
#include <random>
#include <set>

#include <gmock/gmock.h>

#include "program/samples.h"
#include "pto/wsp/workload/rules.h"

namespace pto::wsp::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// What a table makes of a workload, and what it says.
struct Rewritten {
    Rewritten(const Workload &workload, const std::string &table)
        : workload(workload::rewrite_workload(workload.built(), table, &reasons)) {}

    int fired(const std::string &rule) const {
        return static_cast<int>(std::ranges::count_if(reasons, [&](const Reason &reason) {
            return reason.happened && reason.subject == rule;
        }));
    }
    std::string text() const {
        std::string all;
        for (const Reason &reason : reasons) {
            all += reason.str() + "\n";
        }
        return all;
    }

    Reasons reasons;
    workload::Workload workload;
};

std::vector<std::vector<char>> contents(const workload::Workload &workload) {
    std::vector<std::vector<char>> all;
    for (const workload::TensorPtr &tensor : workload.tensors()) {
        const auto *bytes = static_cast<const char *>(tensor->view.data);
        all.emplace_back(bytes, bytes + element_count(tensor->view.shape) *
                                            size_bytes(tensor->view.dtype));
    }
    return all;
}

/// `rewritten` computes, bit by bit, what `workload` does.
void expect_same(const workload::Workload &workload, const workload::Workload &rewritten) {
    const std::vector<workload::TensorPtr> tensors = workload.tensors();
    const auto before = contents(workload);
    interpret(workload);
    const auto wanted = contents(workload);
    for (size_t t = 0; t < tensors.size(); ++t) {
        std::memcpy(tensors[t]->view.data, before[t].data(), before[t].size());
    }
    interpret(rewritten);
    EXPECT_EQ(contents(workload), wanted) << workload.str() << "\nmade\n" << rewritten.str();
    for (size_t t = 0; t < tensors.size(); ++t) {
        std::memcpy(tensors[t]->view.data, before[t].data(), before[t].size());
    }
}

class WorkloadRules : public ::testing::Test {
protected:
    WorkloadRules() {
        fill(x, 1);
        fill(y, 2);
        fill(z, 3);
    }

    /// Fires `count` times, and the result is the same.
    void expect_fires(const Workload &workload, const std::string &table, const std::string &rule,
                      int64_t tasks) {
        Rewritten rewritten(workload, table);
        EXPECT_GE(rewritten.fired(rule), 1) << rewritten.text() << workload.built().str();
        EXPECT_EQ(rewritten.workload.task_count(), tasks) << rewritten.workload.str();
        expect_same(workload.built(), rewritten.workload);
    }
    /// Does not fire, and says why.
    void expect_refused(const Workload &workload, const std::string &table, const std::string &rule,
                        const std::string &why) {
        Rewritten rewritten(workload, table);
        EXPECT_EQ(rewritten.fired(rule), 0);
        EXPECT_THAT(rewritten.text(), HasSubstr(rule + ": not applied: " + why));
        expect_same(workload.built(), rewritten.workload);
    }

    Tensor x{"X", {8, 2, 4}}, y{"Y", {8, 2, 4}}, z{"Z", {8, 2, 4}};
    Kernel add = accumulate(), copy = increment(), mixed = mix();
    Kernel printing{
        "printing", {In("x", small_tile()), Out("y", small_tile())}, [](const Parameters &k) {
            tile::print(k["x"], "x");
            store(k["y"], k["x"] + 1.0);
        }};
    Kernel outside{"outside", {In("x", small_tile()), Out("y", small_tile())}};
};

TEST_F(WorkloadRules, combine_in_combine_is_flattened) {
    Workload a("a", [&] {
        copy({x[0], y[0]});
        copy({x[1], y[1]});
    });
    Workload both = combine({combine({a, a}), a});
    Rewritten rewritten(both, "flatten");
    EXPECT_GE(rewritten.fired("flatten-combine"), 1) << rewritten.text();
    EXPECT_EQ(rewritten.workload.str().find("call"), std::string::npos) << rewritten.workload.str();
    expect_same(both.built(), rewritten.workload);
}

TEST_F(WorkloadRules, sequential_in_sequential_is_flattened_and_in_combine_is_not) {
    Workload a("a", [&] { copy({x[0], y[0]}); });
    Workload b("b", [&] { copy({x[1], y[1]}); });
    Workload chain = sequential({sequential({a, b}), a});
    Rewritten rewritten(chain, "flatten");
    EXPECT_GE(rewritten.fired("flatten-sequential"), 1);
    expect_same(chain.built(), rewritten.workload);
    expect_refused(combine({sequential({a, b}), a}), "flatten", "flatten-combine",
                   "the statements of a sequential group stay in order");
    expect_refused(sequential({combine({a, b}), a}), "flatten", "flatten-sequential",
                   "a combine in a sequential group has no order of its own");
}

TEST_F(WorkloadRules, a_group_of_one_is_its_statement) {
    Workload one("one", [&] { copy({x[0], y[0]}); });
    Rewritten rewritten(combine({one}), "flatten");
    EXPECT_EQ(rewritten.fired("group-of-one"), 1);
    EXPECT_EQ(rewritten.workload.kind(), "task");
}

TEST_F(WorkloadRules, what_makes_no_task_is_dropped) {
    Workload w("w", [&] {
        for (auto i : P(0)) {
            copy({x[i], y[i]});
        }
        copy({x[1], y[1]});
    });
    Rewritten rewritten(w, "dead");
    EXPECT_EQ(rewritten.fired("no-tasks"), 1);
    EXPECT_THAT(rewritten.workload.str(), ::testing::Not(HasSubstr("Dense[0]")));
}

TEST_F(WorkloadRules, overwritten_results_are_not_computed) {
    expect_fires(Workload("w",
                          [&] {
                              for (auto i : P(4)) {
                                  copy({x[i], y[i]});
                                  mixed({x[i], z[i], y[i]});
                              }
                          }),
                 "dead", "overwritten", 4);
}

TEST_F(WorkloadRules, results_that_are_read_or_seen_are_computed) {
    expect_refused(Workload("w",
                            [&] {
                                copy({x[0], y[0]});
                                copy({y[0], z[0]});
                                copy({x[1], y[0]});
                            }),
                   "dead", "overwritten",
                   "what increment writes is read before it is written again");
    expect_refused(Workload("w",
                            [&] {
                                copy({x[0], y[0]});
                                mixed({x[1], y[0], y[0]});
                            }),
                   "dead", "overwritten",
                   "what increment writes is read before it is written again");
    expect_refused(Workload("w",
                            [&] {
                                printing({x[0], y[0]});
                                copy({x[1], y[0]});
                            }),
                   "dead", "overwritten",
                   "printing may do more than to write tiles: it prints or is no tile program");
    EXPECT_EQ(Rewritten(Workload("w",
                                 [&] {
                                     copy({x[0], y[0]});
                                     add({x[1], y[0]});
                                 }),
                        "dead")
                  .fired("overwritten"),
              0);
}

TEST_F(WorkloadRules, tasks_that_do_not_vary_leave_their_loop) {
    expect_fires(Workload("w",
                          [&] {
                              for (auto i : P(4)) {
                                  copy({x[0], y[0]});
                                  mixed({x[i], y[0], z[i]});
                              }
                          }),
                 "hoist", "hoist-task", 5);
    expect_fires(Workload("w",
                          [&] {
                              for ([[maybe_unused]] auto i : P.seq(4)) {
                                  copy({x[0], y[0]});
                              }
                          }),
                 "hoist", "hoist-task", 1);
}

TEST_F(WorkloadRules, tasks_that_the_loop_feeds_or_undoes_stay) {
    expect_refused(Workload("w",
                            [&] {
                                for (auto i : P(4)) {
                                    copy({x[0], y[0]});
                                    mixed({y[i], y[0], x[i]});
                                }
                            }),
                   "hoist", "hoist-task", "increment reads what the loop writes");
    expect_refused(Workload("w",
                            [&] {
                                for ([[maybe_unused]] auto i : P(4)) {
                                    add({x[0], y[0]});
                                }
                            }),
                   "hoist", "hoist-task", "accumulate reads what the loop writes");
    expect_refused(Workload("w",
                            [&] {
                                for (auto i : P(4)) {
                                    copy({x[0], y[0]});
                                    copy({z[i], y[i]});
                                }
                            }),
                   "hoist", "hoist-task",
                   "what increment writes is written by another task of the loop");
    expect_refused(Workload("w",
                            [&] {
                                for ([[maybe_unused]] auto i : P(4)) {
                                    printing({x[0], y[0]});
                                }
                            }),
                   "hoist", "hoist-task", "printing may do more than to write tiles");
}

TEST_F(WorkloadRules, a_parallel_loop_goes_outside) {
    Workload w("w", [&] {
        for ([[maybe_unused]] auto t : P.seq(3)) {
            for (auto i : P(8)) {
                add({x[i], y[i]});
            }
        }
    });
    expect_fires(w, "interchange", "parallel-outside", 24);
    EXPECT_EQ(Rewritten(w, "interchange").workload.kind(), "parallel");
}

TEST_F(WorkloadRules, loops_that_exchange_data_stay) {
    expect_refused(Workload("w",
                            [&] {
                                for ([[maybe_unused]] auto t : P.seq(3)) {
                                    for (auto i : P(7)) {
                                        add({y[i + 1], y[i]});
                                    }
                                }
                            }),
                   "interchange", "parallel-outside",
                   "iterations of P(h: Dense[7]) touch the same data");
    expect_refused(Workload("w",
                            [&] {
                                for ([[maybe_unused]] auto t : P.seq(3)) {
                                    for (auto i : P(8)) {
                                        printing({x[i], y[i]});
                                    }
                                }
                            }),
                   "interchange", "parallel-outside", "a task of P(");
}

TEST_F(WorkloadRules, loops_whose_sizes_or_slots_decide_stay) {
    expect_refused(Workload("w",
                            [&] {
                                for (auto b : P(2)) {
                                    for (auto i : P(DenseDyn(1 - b))) {
                                        copy({x[b], y[b]});
                                        add({y[b], z[i]});
                                    }
                                }
                            }),
                   "hoist", "hoist-task", "the loop may have no iterations");
    expect_refused(Workload("w",
                            [&] {
                                for (auto s : P.seq(3)) {
                                    for (auto i : P(DenseDyn(s + 1))) {
                                        add({x[i], y[i]});
                                    }
                                }
                            }),
                   "interchange", "parallel-outside", "the size of P(");
    expect_refused(
        Workload("w",
                 [&] {
                     slot_set_u64(0, 2);
                     for ([[maybe_unused]] auto s : P.seq(3)) {
                         for (auto i : P(4)) {
                             P.when(slot_u64(0) > as_expr(i), [&] { add({x[i], y[i]}); });
                         }
                     }
                 }),
        "interchange", "parallel-outside", "what is done in P(");
}

TEST_F(WorkloadRules, chains_become_one_task) {
    expect_fires(Workload("w",
                          [&] {
                              for (auto i : P(8)) {
                                  copy({x[i], y[i]});
                                  mixed({y[i], x[i], z[i]});
                              }
                          }),
                 "fuse", "fuse-chain", 8);
}

TEST_F(WorkloadRules, chains_of_other_readers_and_parts_are_not_fused) {
    expect_refused(Workload("w",
                            [&] {
                                for (auto i : P(8)) {
                                    copy({x[i], y[i]});
                                    copy({y[i], z[i]});
                                }
                                for (auto i : P(8)) {
                                    add({y[i], x[i]});
                                }
                            }),
                   "fuse", "fuse-chain", "what increment writes is read by accumulate (");
    expect_refused(Workload("w",
                            [&] {
                                for (auto i : P(8)) {
                                    copy({x[i], y[0]});
                                    mixed({y[i], x[i], z[i]});
                                }
                            }),
                   "fuse", "fuse-chain", "mix reads other parts of what increment writes");
    expect_refused(Workload("w",
                            [&] {
                                for (auto i : P(8)) {
                                    copy({x[i], y[i]});
                                    mixed({y[i], x[i], x[i]});
                                }
                            }),
                   "fuse", "fuse-chain", "increment and mix touch other parts of the same data");
    EXPECT_THAT(Rewritten(Workload("w",
                                   [&] {
                                       copy({x[0], y[0]});
                                       outside({y[0], z[0]});
                                   }),
                          "fuse")
                    .text(),
                HasSubstr("fuse-chain: not applied: outside is declared only"));
    Kernel halves("halves", {In("x", small_tile()), Out("y", small_tile())},
                  [](const Parameters &k) {
                      store(k["y"], tile::load(k["x"], 0, 0, 1, 4), 0, 0);
                      store(k["y"], tile::load(k["x"], 1, 0, 1, 4), 1, 0);
                  });
    expect_refused(Workload("w",
                            [&] {
                                halves({x[0], y[0]});
                                copy({y[0], z[0]});
                            }),
                   "fuse", "fuse-chain", "halves does not store 'y' whole and once");
    expect_refused(Workload("w",
                            [&] {
                                copy({x[0], y[0]});
                                halves({y[0], z[0]});
                            }),
                   "fuse", "fuse-chain", "halves loads parts of 'x'");
}

TEST_F(WorkloadRules, what_is_fused_is_rounded_as_it_was_stored) {
    Tensor half("H", {8, 2, 4}, DType::F16);
    Kernel narrow("narrow", {In("x", small_tile()), Out("y", Tile(2, 4, DType::F16))},
                  [](const Parameters &k) { store(k["y"], tile::load(k["x"]) * 0.1); });
    Kernel wide("wide", {In("x", Tile(2, 4, DType::F16)), Out("y", small_tile())},
                [](const Parameters &k) { store(k["y"], tile::load(k["x"]) * 3.0); });
    expect_fires(Workload("w",
                          [&] {
                              for (auto i : P(8)) {
                                  narrow({x[i], half[i]});
                                  wide({half[i], z[i]});
                              }
                          }),
                 "fuse", "fuse-chain", 8);
}

TEST_F(WorkloadRules, small_tasks_are_merged) {
    expect_fires(Workload("w",
                          [&] {
                              for (auto i : P(8)) {
                                  copy({x[i], y[i]});
                                  copy({x[i], z[i]});
                              }
                          }),
                 "merge", "merge-small", 8);
}

TEST_F(WorkloadRules, large_tasks_and_those_that_share_data_are_not_merged) {
    Tensor large("L", {64, 64}), other("M", {64, 64});
    Kernel big("big", {In("x", Tile(64, 64, F32)), Out("y", Tile(64, 64, F32))},
               [](const Parameters &k) { store(k["y"], tile::load(k["x"]) + 1.0); });
    expect_refused(Workload("w",
                            [&] {
                                big({large, other});
                                copy({x[0], y[0]});
                            }),
                   "merge", "merge-small",
                   "big and increment are not small: 8208 elements, more than 4096");
    expect_refused(Workload("w",
                            [&] {
                                copy({x[0], y[0]});
                                copy({z[0], x[0]});
                            }),
                   "merge", "merge-small",
                   "increment and increment touch other parts of the same data");
}

TEST_F(WorkloadRules, iterations_of_small_tracked_tasks_are_merged) {
    // Neither loop runs in chunks: which of them reads what the other one wrote, is tracked.
    const Workload turns("w", [&] {
        for ([[maybe_unused]] auto t : P(3)) {
            for (auto i : P(8)) {
                copy({x[i], y[i]});
            }
            for (auto i : P(6)) {
                mixed({y[i], y[7 - i], x[7 - i]});
            }
        }
    });
    // 32 arguments hold all 8 copies, and 6 of the others.
    expect_fires(turns, "merge", "merge-iterations", 3 * 2);
    const Rewritten rewritten(turns, "merge");
    EXPECT_THAT(rewritten.workload.str(), AllOf(HasSubstr("increment_8x"), HasSubstr("mix_6x")));
}

TEST_F(WorkloadRules, iterations_that_gain_nothing_or_share_data_are_not_merged) {
    const auto refused = [&](const std::function<void()> &body, const std::string &why) {
        expect_refused(Workload("w", body), "merge", "merge-iterations", why);
    };
    const auto turns = [&](const std::function<void(const AxisVar &)> &loop) {
        for (auto t : P(3)) {
            loop(t);
            for (auto i : P(8)) {
                copy({x[7 - i], y[i]});
                copy({y[i], z[i]});
            }
        }
    };
    refused(
        [&] {
            for (auto i : P(8)) {
                copy({x[i], y[i]});
            }
        },
        "tasks are not tracked: iterations are handed to workers in chunks already");
    refused(
        [&] {
            turns([&](const AxisVar &) {
                for (auto i : P(7)) {
                    add({y[i], y[i + 1]});
                }
            });
        },
        "iterations of P(h: Dense[7]) touch the same data");
    const Rewritten declared(Workload("w",
                                      [&] {
                                          turns([&](const AxisVar &) {
                                              for (auto i : P(8)) {
                                                  outside({y[i], x[i]});
                                              }
                                          });
                                      }),
                             "merge");
    EXPECT_THAT(declared.text(),
                HasSubstr("merge-iterations: not applied: outside is declared only"));
    refused(
        [&] {
            turns([&](const AxisVar &t) {
                for (auto i : P(DenseDyn(8 - t))) {
                    copy({y[i], x[i]});
                }
            });
        },
        "the number of iterations is not the same in every run");
    Tensor large("L", {8, 64, 64}), other("M", {8, 64, 64});
    Kernel big("big", {In("x", Tile(64, 64, F32)), Out("y", Tile(64, 64, F32))},
               [](const Parameters &k) { store(k["y"], tile::load(k["x"]) + 1.0); });
    refused(
        [&] {
            turns([&](const AxisVar &) {
                for (auto i : P(8)) {
                    big({large[i], other[i]});
                }
            });
        },
        "no number of iterations divides 8 and is small together: big has 8192 elements and 2 "
        "arguments, a task at most 4096 and 32");
}

TEST_F(WorkloadRules, unknown_table) {
    EXPECT_EQ(error_of<ScheduleError>([&] {
                  workload::rewrite_workload(Workload("w",
                                                      [&] {
                                                          copy({x[0], y[0]});
                                                      })
                                                 .built(),
                                             "fusion");
              }),
              "unknown table of rules \"fusion\" | tables: flatten, dead, hoist, interchange, "
              "fuse, merge");
}

/// Bodies in which the rules find something: places that are often the same.
class RandomStatements {
public:
    explicit RandomStatements(unsigned seed) : random_(seed) {
        for (const Tensor &tensor : tensors_) {
            fill(tensor, seed++);
        }
    }

    void statements() {
        const int count = below(4) + 1;
        for (int n = 0; n < count; ++n) {
            below(2) == 0 || variables_.size() == 2 ? task() : loop();
        }
    }

private:
    int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

    void loop() {
        const Dense axis(below(4));
        if (below(2) == 0) {
            for (auto i : P.seq(axis)) {
                body(i);
            }
        } else {
            for (auto i : P(axis)) {
                body(i);
            }
        }
    }

    void body(const AxisVar &variable) {
        variables_.push_back(variable);
        statements();
        variables_.pop_back();
    }

    Tensor somewhere() {
        Affine index(below(2));
        for (const AxisVar &variable : variables_) {
            index = index + variable * (below(4) == 0 ? 0 : 1);
        }
        return tensors_[static_cast<size_t>(below(4))][index];
    }

    void task() {
        switch (below(3)) {
        case 0:
            return add_({somewhere(), somewhere()});
        case 1:
            return copy_({somewhere(), somewhere()});
        default:
            return mix_({somewhere(), somewhere(), somewhere()});
        }
    }

    std::mt19937 random_;
    std::vector<Tensor> tensors_{
        {"A", {8, 2, 4}}, {"B", {8, 2, 4}}, {"C", {8, 2, 4}}, {"D", {8, 2, 4}}};
    std::vector<AxisVar> variables_;
    Kernel add_ = accumulate(), copy_ = increment(), mix_ = mix();
};

TEST(RandomWorkloadRules, change_no_result_and_all_fire) {
    std::set<std::string> fired;
    for (unsigned seed = 1; seed <= 1500 && !::testing::Test::HasFailure(); ++seed) {
        RandomStatements body(seed);
        SCOPED_TRACE(seed);
        workload::Workload now = Workload("random", [&] { body.statements(); }).built();
        for (const std::string &table : workload::workload_tables()) {
            Reasons reasons;
            const workload::Workload next = workload::rewrite_workload(now, table, &reasons);
            for (const Reason &reason : reasons) {
                if (reason.happened) {
                    fired.insert(reason.subject);
                }
            }
            expect_same(now, next);
            now = next;
        }
    }
    EXPECT_THAT(fired, ::testing::IsSupersetOf({"no-tasks", "overwritten", "hoist-task",
                                                "parallel-outside", "fuse-chain", "merge-small"}));
}

}  // namespace
}  // namespace pto::wsp::test
