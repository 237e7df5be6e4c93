;;; lsp_mode.el --- A session in lsp-mode, beside another server, told as JSON lines  -*- lexical-binding: t -*-
;; Run by test_emacs.py in a batch Emacs, after the init file that docs/editors/emacs.md shows.
(setq native-comp-enable-subr-trampolines nil native-comp-jit-compilation nil) ; this Emacs runs in no place of its own
(require 'seq)
(dolist (folder (directory-files (getenv "ADDONS") t "^[^.]"))
  (add-to-list 'load-path folder))
(require 'lsp-mode)
(require 'lsp-completion)
(setq lsp-auto-guess-root t lsp-enable-file-watchers nil lsp-enable-snippet nil lsp-lens-enable nil
      lsp-client-packages nil lsp-modeline-workspace-status-enable nil
      lsp-headerline-breadcrumb-enable nil lsp-diagnostics-provider :flymake lsp-keep-workspace-alive nil
      lsp-session-file (expand-file-name "lsp-session" (getenv "HOME")))
(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection (list (getenv "PYTHON") (getenv "LINT")))
                  :activation-fn (lsp-activate-on "python")
                  :server-id 'lint))

(defvar notices nil "What was said to the user, newest first.")
(advice-add 'message :before (lambda (format &rest more) (when format (push (apply #'format format more) notices))))

(defun tell (step &rest facts)
  (princ (concat (decode-coding-string (json-serialize `(:step ,step ,@facts) :false-object :json-false) 'utf-8) "\n"))
  (flush-standard-output))

(defun wait-for (what holds)
  (let ((end (+ (float-time) 20)) found)
    (while (not (setq found (funcall holds)))
      (when (> (float-time) end) (error "It did not come to be: %s; told: %S" what (seq-take notices 5)))
      (accept-process-output nil 0.02))
    found))

(defun text ()
  (buffer-substring-no-properties (point-min) (point-max)))

(defun titles (actions)
  (vconcat (mapcar (lambda (one) (lsp-get one :title)) actions)))

(defun choose (part becomes)
  "Chooses a code action where point is; returns what was offered."
  (let* ((actions nil)
         (chosen (wait-for (format "the action %s" part)
                           (lambda ()
                             (setq actions (lsp-code-actions-at-point))
                             (seq-find (lambda (one) (string-search part (lsp-get one :title))) actions)))))
    (lsp-execute-code-action chosen)
    (wait-for part becomes)
    (titles actions)))

(defun page ()
  (seq-some (lambda (buffer)
              (and (string-match-p "/shown/" (or (buffer-file-name buffer) "")) (with-current-buffer buffer (text))))
            (buffer-list)))

(with-current-buffer (find-file-noselect (expand-file-name "sample.py" (getenv "WORKSPACE")))
  (lsp)
  (wait-for "two servers"
            (lambda ()
              (and (length= (lsp-workspaces) 2)
                   (seq-every-p (lambda (one) (eq (lsp--workspace-status one) 'initialized)) (lsp-workspaces)))))
  (transient-mark-mode 1)
  (push-mark (point-min) t t)
  (goto-char (point-min))
  (forward-line 3)
  (tell "menu" :titles (titles (lsp-code-actions-at-point)))
  (choose "docstring" (lambda () (string-search "Written by a model" (text))))
  (tell "docstring" :text (text))
  (deactivate-mark)
  (goto-char (point-min))
  (search-forward "a * c")
  (backward-char)
  (wait-for "the diagnostic" (lambda () (lsp-cur-line-diagnostics)))
  (tell "fix" :titles (choose "Fix" (lambda () (string-search "a * b" (text)))) :text (text))
  (choose "Explain" #'page)
  (tell "stream" :shown (page))
  (goto-char (point-max))
  (insert "\n\ndef sub(a, b):\n")
  (lsp-completion-mode 1)
  (let ((found (all-completions "" (nth 2 (run-hook-with-args-until-success 'completion-at-point-functions)))))
    (tell "inline" :items (vconcat (mapcar #'substring-no-properties found))))
  (lsp-workspace-command-execute "beast.cost" [])
  (tell "cost" :notice
        (wait-for "the cost" (lambda () (seq-find (lambda (one) (string-search "BEAST: today" one)) notices))))
  (set-buffer-modified-p nil)
  (mapc #'lsp-workspace-shutdown (lsp-workspaces)))
(kill-emacs 0)
