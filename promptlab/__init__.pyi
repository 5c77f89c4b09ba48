"""The public names, and where they live."""

from promptlab.data.readers import from_dataframe as from_dataframe
from promptlab.data.readers import from_dicts as from_dicts
from promptlab.data.readers import read_csv as read_csv
from promptlab.data.readers import read_jsonl as read_jsonl
from promptlab.data.readers import read_parquet as read_parquet
from promptlab.data.readers import read_tsv as read_tsv
from promptlab.data.task import Task as Task
from promptlab.errors import CassetteMiss as CassetteMiss
from promptlab.errors import DataError as DataError
from promptlab.errors import ExtractorError as ExtractorError
from promptlab.errors import ModelError as ModelError
from promptlab.errors import NetworkBlocked as NetworkBlocked
from promptlab.errors import PromptlabError as PromptlabError
from promptlab.errors import RewriteError as RewriteError
from promptlab.errors import ScorerError as ScorerError
from promptlab.labels.checks import check_extractor as check_extractor
from promptlab.labels.extract import choice as choice
from promptlab.labels.extract import first_of as first_of
from promptlab.labels.extract import json_field as json_field
from promptlab.labels.extract import last_line as last_line
from promptlab.labels.extract import phrase as phrase
from promptlab.labels.extract import tagged as tagged
from promptlab.models.prompts import load_prompt as load_prompt
from promptlab.models.prompts import request as request
from promptlab.models.prompts import save_prompt as save_prompt
from promptlab.optimizer.history import Iteration as Iteration
from promptlab.optimizer.history import Run as Run
from promptlab.optimizer.loop import evaluate as evaluate
from promptlab.optimizer.loop import evaluate_async as evaluate_async
from promptlab.optimizer.loop import optimize as optimize
from promptlab.optimizer.loop import optimize_async as optimize_async
from promptlab.optimizer.loop import steps as steps
from promptlab.records import Demonstration as Demonstration
from promptlab.records import Example as Example
from promptlab.records import Model as Model
from promptlab.records import Prediction as Prediction
from promptlab.records import Prompt as Prompt
from promptlab.records import Unreadable as Unreadable
from promptlab.scoring.comparison import Comparison as Comparison
from promptlab.scoring.comparison import compare as compare
from promptlab.scoring.comparison import compare_all as compare_all
from promptlab.scoring.comparison import detectable as detectable
from promptlab.scoring.evaluation import Evaluation as Evaluation

__version__: str
