-- The menu of code actions: Neovim tells a server its own diagnostics only; ours mends those of every other source too.

local M = {}

local METHOD = 'textDocument/codeAction'

---@param params lsp.CodeActionParams
---@param bufnr integer
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return lsp.CodeActionParams
local function with_all(params, bufnr, encoding)
  local range = {
    start = { line = params.range.start.line, byte = 0 },
    finish = { line = params.range['end'].line, byte = 0 },
  }
  local found = require('beast.range').diagnostics(bufnr, range, encoding)
  local context = vim.tbl_extend('force', params.context or {}, { diagnostics = found })
  return vim.tbl_extend('force', params, { context = context })
end

--- Has a client be told every diagnostic of the lines that a menu is asked for.
---@param client vim.lsp.Client
function M.widen(client)
  local request = client.request
  ---@diagnostic disable-next-line: duplicate-set-field
  client.request = function(self, method, params, handler, bufnr)
    if method == METHOD and params and #(vim.tbl_get(params, 'context', 'diagnostics') or {}) == 0 then
      local buffer = vim.uri_to_bufnr(params.textDocument.uri)
      params = with_all(params, buffer, self.offset_encoding)
    end
    return request(self, method, params, handler, bufnr)
  end
end

return M
