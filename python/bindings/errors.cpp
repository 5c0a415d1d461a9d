#include "bindings.h"

#include <exception>
#include <string_view>

#include "pto/wsp/core/layout.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/log.h"

namespace pto::wsp::python {

namespace {

/// The directory of the package with a `/` behind it; frames of files below it are ours.
std::string package_prefix;

bool is_ours(std::string_view file) {
    return file.substr(0, package_prefix.size()) == package_prefix;
}

/// The class of `pto_wsp.errors` with that name.
py::object error_class(const char *name) {
    return py::module_::import("pto_wsp.errors").attr(name);
}

const char *class_name(const PtoError &error) {
    // From the most to the least derived class.
    if (dynamic_cast<const LayoutIncompatibleError *>(&error)) {
        return "LayoutIncompatibleError";
    }
    if (dynamic_cast<const TypeCheckError *>(&error)) {
        return "TypeCheckError";
    }
    if (dynamic_cast<const IRConversionError *>(&error)) {
        return "IRConversionError";
    }
    if (dynamic_cast<const CompileError *>(&error)) {
        return "CompileError";
    }
    if (dynamic_cast<const ScheduleError *>(&error)) {
        return "ScheduleError";
    }
    if (dynamic_cast<const KernelError *>(&error)) {
        return "KernelError";
    }
    if (dynamic_cast<const EventTimeoutError *>(&error)) {
        return "EventTimeoutError";
    }
    if (dynamic_cast<const CancelledError *>(&error)) {
        return "CancelledError";
    }
    if (dynamic_cast<const ExecutionError *>(&error)) {
        return "ExecutionError";
    }
    if (dynamic_cast<const ChannelClosed *>(&error)) {
        return "ChannelClosed";
    }
    if (dynamic_cast<const ChannelFull *>(&error)) {
        return "ChannelFull";
    }
    if (dynamic_cast<const ChannelError *>(&error)) {
        return "ChannelError";
    }
    if (dynamic_cast<const InternalError *>(&error)) {
        return "InternalError";
    }
    return "PtoError";
}

/// Sets what a KernelError of Python knows of its task.
void describe_task(const py::object &raised, const TaskFailure &failure) {
    raised.attr("kernel") = failure.kernel;
    py::dict indices;
    for (const auto &[name, value] : failure.indices) {
        indices[py::str(name)] = value;
    }
    raised.attr("indices") = indices;
}

void describe_tasks(const py::object &raised, const KernelError &error) {
    py::list errors;
    for (const TaskFailure &failure : error.failures()) {
        py::object one = python_error("KernelError", PtoError(failure.at, failure.str()));
        describe_task(one, failure);
        errors.append(std::move(one));
    }
    if (!error.failures().empty()) {
        describe_task(raised, error.failures().front());
    }
    raised.attr("errors") = py::tuple(errors);
}

void translate(std::exception_ptr thrown) {
    try {
        if (thrown) {
            std::rethrow_exception(thrown);
        }
    } catch (const PtoError &error) {
        const py::object raised = python_error(class_name(error), error);
        if (const auto *tasks = dynamic_cast<const KernelError *>(&error)) {
            describe_tasks(raised, *tasks);
        }
        PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(raised.ptr())), raised.ptr());
    }
}

/// Python's `logging` level of ours.
int python_level(LogLevel level) {
    switch (level) {
    case LogLevel::Debug:
        return 10;
    case LogLevel::Info:
        return 20;
    case LogLevel::Warning:
        return 30;
    case LogLevel::Error:
        break;
    }
    return 40;
}

void feed_logger(const py::object &logger) {
    // Workers may log until the very end, when there is no interpreter to log to, so the logger is
    // never released.
    PyObject *kept = logger.inc_ref().ptr();
    set_log_sink([kept](LogLevel level, const std::string &text) {
        if (!Py_IsInitialized()) {
            return;
        }
        const py::gil_scoped_acquire gil;
        try {
            py::handle(kept).attr("log")(python_level(level), "%s", text);
        } catch (py::error_already_set &error) {
            error.discard_as_unraisable("pto_wsp: while writing to the log");
        }
    });
}

}  // namespace

py::object python_error(const char *name, const PtoError &error) {
    py::object raised = error_class(name)(error.what());
    raised.attr("at") = error.at().known() ? py::cast(error.at()) : py::none();
    raised.attr("text") = error.text();
    raised.attr("hint") = error.hint();
    py::list notes;
    for (const Note &note : error.notes()) {
        notes.append(py::make_tuple(note.at, note.text));
    }
    raised.attr("notes") = py::tuple(notes);
    return raised;
}

Loc user_loc() {
    PyFrameObject *frame = PyEval_GetFrame();
    Py_XINCREF(reinterpret_cast<PyObject *>(frame));
    Loc found;
    while (frame != nullptr) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        Py_ssize_t size = 0;
        const char *file = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
        if (file == nullptr) {
            PyErr_Clear();
        } else if (!is_ours({file, static_cast<size_t>(size)})) {
            found = {std::string(file, static_cast<size_t>(size)), PyFrame_GetLineNumber(frame)};
        }
        Py_DECREF(code);
        PyFrameObject *outer = found.known() ? nullptr : PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = outer;
    }
    return found;
}

void bind_errors(py::module_ &module) {
    py::register_exception_translator(&translate);
    module.def(
        "set_package_directory",
        [](const std::string &directory) { package_prefix = directory + "/"; },
        py::arg("directory"), "Names the directory whose frames are not the user's.");
    module.def("user_loc", &user_loc, "`(file, line)` of the innermost frame outside the package.");
    module.def(
        "make_error",
        [](const std::string &name, const std::string &text, const std::optional<Loc> &at,
           const std::vector<std::pair<Loc, std::string>> &notes, const std::string &hint) {
            std::vector<Note> places;
            for (const auto &[place, note] : notes) {
                places.push_back({place, note});
            }
            return python_error(name.c_str(),
                                PtoError(at ? *at : user_loc(), text, std::move(places), hint));
        },
        py::arg("name"), py::arg("text"), py::arg("at") = std::nullopt,
        py::arg("notes") = std::vector<std::pair<Loc, std::string>>{}, py::arg("hint") = "",
        "An error of class `name` at the user's line, formatted as those of C++ are.");
    module.def("feed_logger", &feed_logger, py::arg("logger"),
               "Sends the diagnostics of C++ to a `logging.Logger`.");
    module.def("env_log_level", &env::log_level);
    module.def("env_workers", &env::workers);
    module.def("env_cache_dir", &env::cache_dir);

    py::class_<Reason>(module, "Reason")
        .def_readonly("subject", &Reason::subject)
        .def_readonly("happened", &Reason::happened)
        .def_readonly("text", &Reason::text)
        .def_readonly("at", &Reason::at)
        .def_readonly("is_fact", &Reason::is_fact)
        .def("__str__", &Reason::str)
        .def("__repr__", [](const Reason &reason) { return "<Reason " + reason.str() + ">"; });
}

}  // namespace pto::wsp::python
